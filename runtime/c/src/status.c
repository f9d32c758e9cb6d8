/* Statuses, and memory that is released all at once. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

const carve_status carve_ok = {CARVE_OK, ""};

carve_status failure(carve_code code, const char *format, ...) {
    carve_status status = {code, ""};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(status.message, sizeof status.message, format, arguments);
    va_end(arguments);
    return status;
}

carve_status no_memory(void) {
    return failure(CARVE_NO_MEMORY, "There is no memory left. Free some, or use a smaller image.");
}

carve_status missing(const char *what) {
    return failure(CARVE_INVALID_ARGUMENT, "%s is NULL. Pass one.", what);
}

carve_status check_struct_size(const char *what, size_t actual, size_t expected) {
    if (actual == expected) return carve_ok;
    return failure(CARVE_INVALID_ARGUMENT,
                   "%s has struct_size %zu, this library knows %zu. Set it to sizeof the structure, "
                   "and use the header of this library.",
                   what, actual, expected);
}

struct owned {
    struct owned *before;
    void *thing;
    release_function release;
    const void *context;
};

static void release_memory(void *thing, const void *context) {
    (void)context;
    free(thing);
}

carve_status scope_own(scope *owner, void *thing, release_function release, const void *context) {
    struct owned *entry = malloc(sizeof *entry);
    if (!entry) {
        release(thing, context);
        return no_memory();
    }
    *entry = (struct owned){owner->last, thing, release, context};
    owner->last = entry;
    return carve_ok;
}

void *scope_alloc(scope *owner, size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory || scope_own(owner, memory, release_memory, NULL).code != CARVE_OK) return NULL;
    return memory;
}

char *scope_copy(scope *owner, const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = scope_alloc(owner, size, 1);
    if (copy) memcpy(copy, text, size);
    return copy;
}

void scope_release(scope *owner) {
    while (owner->last) {
        struct owned *entry = owner->last;
        owner->last = entry->before;
        entry->release(entry->thing, entry->context);
        free(entry);
    }
}

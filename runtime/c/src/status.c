/* Statuses, and memory that is released all at once. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "text/utf8.h"

const carve_status carve_ok = {CARVE_OK, ""};

/* Leave out what is not a whole UTF-8 character: names are cut at a number of bytes. */
static void keep_whole_characters(char *text) {
    const char *end = text + strlen(text);
    char *to = text;
    for (const char *from = text; from < end;) {
        int length = utf8_length(from, (size_t)(end - from));
        size_t size = length > 0 ? (size_t)length : 0;
        memmove(to, from, size);
        to += size;
        from += size ? size : 1;
    }
    *to = 0;
}

carve_status failure(carve_code code, const char *format, ...) {
    carve_status status = {code, ""};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(status.message, sizeof status.message, format, arguments);
    va_end(arguments);
    keep_whole_characters(status.message);
    return status;
}

carve_status no_memory(void) {
    return failure(CARVE_NO_MEMORY, "There is no memory left. Free some, or use a smaller image.");
}

carve_status missing(const char *what) {
    return failure(CARVE_INVALID_ARGUMENT, "%s is NULL. Pass one.", what);
}

static carve_status check_struct_size(const char *what, const void *theirs, size_t first,
                                      size_t size) {
    const size_t actual = *(const size_t *)theirs;
    if (actual == first || actual == size) return carve_ok;
    return failure(CARVE_INVALID_ARGUMENT,
                   "%s has struct_size %zu, this library knows %zu. Set it to sizeof the structure, "
                   "and use the header of this library.",
                   what, actual, size);
}

carve_status struct_take(const char *what, void *ours, size_t size, const void *theirs,
                         size_t first) {
    TRY(check_struct_size(what, theirs, first, size));
    memcpy(ours, theirs, *(const size_t *)theirs);
    *(size_t *)ours = size;
    return carve_ok;
}

carve_status struct_give(const char *what, const void *ours, size_t size, void *theirs,
                         size_t first) {
    TRY(check_struct_size(what, theirs, first, size));
    const size_t known = *(size_t *)theirs;
    memcpy(theirs, ours, known);
    *(size_t *)theirs = known;
    return carve_ok;
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

void *scope_rows(scope *owner, size_t count, size_t width, size_t size) {
    if (size && width > SIZE_MAX / size) return NULL;
    return scope_alloc(owner, count, width * size);
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

/* What happens to a text before the model sees it. */
#include "text/steps.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/alphabet.h"

void append_piece(pieces *out, const char *text, size_t size, int64_t id) {
    if (size) out->items[out->count++] = (piece){text, size, id};
}

size_t total_size(const pieces *all) {
    size_t size = 0;
    for (size_t i = 0; i < all->count; i++) size += all->items[i].size;
    return size;
}

carve_status add_step(text_steps *steps, text_step step) {
    if (steps->count == MOST_STEPS) {
        return failure(CARVE_UNSUPPORTED, "it has more than %d steps", MOST_STEPS);
    }
    steps->items[steps->count++] = step;
    return carve_ok;
}

/* Apply a step to all pieces; one that makes its text longer allocates that, and room for it. */
static carve_status apply_step(scope *memory, const text_step *step, pieces *all) {
    pieces out = {scope_alloc(memory, total_size(all), sizeof *out.items), 0};
    if (!out.items) return no_memory();
    for (size_t i = 0; i < all->count; i++) {
        const piece each = all->items[i];
        if (each.id == NO_ID) {
            TRY(step->apply(memory, step, each, &out));
        } else {
            append_piece(&out, each.text, each.size, each.id);
        }
    }
    *all = out;
    return carve_ok;
}

carve_status apply_steps(scope *memory, const text_steps *steps, piece text, pieces *out) {
    *out = (pieces){scope_alloc(memory, 1, sizeof *out->items), 0};
    if (!out->items) return no_memory();
    append_piece(out, text.text, text.size, text.id);
    for (size_t i = 0; i < steps->count; i++) TRY(apply_step(memory, &steps->items[i], out));
    return carve_ok;
}

/* The next place of a text that is not empty, or NULL. */
static const char *find(const char *text, const char *end, const char *wanted, size_t size) {
    for (; (size_t)(end - text) >= size; text++) {
        if (memcmp(text, wanted, size) == 0) return text;
    }
    return NULL;
}

carve_status apply_replace(scope *memory, const text_step *step, piece in, pieces *out) {
    const size_t from = strlen(step->from), to = strlen(step->to);
    const char *at = in.text, *const end = in.text + in.size, *found;
    size_t size = in.size;
    for (; (found = find(at, end, step->from, from)); at = found + from) size += to - from;
    char *changed = scope_alloc(memory, size, 1), *next = changed;
    if (!changed) return no_memory();
    for (at = in.text; (found = find(at, end, step->from, from)); at = found + from) {
        memcpy(next, at, (size_t)(found - at));
        next += found - at;
        memcpy(next, step->to, to);
        next += to;
    }
    memcpy(next, at, (size_t)(end - at));
    append_piece(out, changed, size, NO_ID);
    return carve_ok;
}

carve_status apply_prepend(scope *memory, const text_step *step, piece in, pieces *out) {
    const size_t added = strlen(step->to);
    if (step->unless_there && in.size >= added && memcmp(in.text, step->to, added) == 0) {
        append_piece(out, in.text, in.size, NO_ID);
        return carve_ok;
    }
    char *longer = scope_alloc(memory, added + in.size, 1);
    if (!longer) return no_memory();
    memcpy(longer, step->to, added);
    memcpy(longer + added, in.text, in.size);
    append_piece(out, longer, added + in.size, NO_ID);
    return carve_ok;
}

static void release_composed(void *text, const void *context) {
    (void)context;
    free(text);
}

carve_status apply_nfc(scope *memory, const text_step *step, piece in, pieces *out) {
    utf8proc_uint8_t *composed;
    (void)step;
    utf8proc_ssize_t size =
        utf8proc_map((const utf8proc_uint8_t *)in.text, (utf8proc_ssize_t)in.size, &composed,
                     UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (size < 0) {
        return failure(CARVE_PROMPT_ERROR, "The question cannot be composed (utf8proc: %s). "
                                           "Rephrase it.",
                       utf8proc_errmsg(size));
    }
    TRY(scope_own(memory, composed, release_composed, NULL));
    append_piece(out, (const char *)composed, (size_t)size, NO_ID);
    return carve_ok;
}

static carve_status split(const text_step *step, pcre2_match_data *match, piece in, pieces *out) {
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match);
    size_t at = 0;
    while (at < in.size) {
        int matched = pcre2_match(step->pattern, (PCRE2_SPTR)in.text, in.size, at,
                                  PCRE2_NO_UTF_CHECK, match, NULL);
        if (matched == PCRE2_ERROR_NOMATCH) break;
        if (matched < 0 || range[1] <= at) {
            return failure(CARVE_PROMPT_ERROR, "The question cannot be split into words (PCRE2 "
                                               "error %d). Rephrase it.",
                           matched);
        }
        append_piece(out, in.text + at, range[0] - at, NO_ID);
        append_piece(out, in.text + range[0], range[1] - range[0], NO_ID);
        at = range[1];
    }
    append_piece(out, in.text + at, in.size - at, NO_ID);
    return carve_ok;
}

carve_status apply_split(scope *memory, const text_step *step, piece in, pieces *out) {
    (void)memory;
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(step->pattern, NULL);
    if (!match) return no_memory();
    carve_status status = split(step, match, in, out);
    pcre2_match_data_free(match);
    return status;
}

carve_status apply_spell(scope *memory, const text_step *step, piece in, pieces *out) {
    (void)step;
    char *spelled = scope_alloc(memory, in.size, MOST_SPELLED_BYTES);
    if (!spelled) return no_memory();
    size_t size = 0;
    for (size_t i = 0; i < in.size; i++) size += spell_byte((unsigned char)in.text[i], spelled + size);
    append_piece(out, spelled, size, NO_ID);
    return carve_ok;
}

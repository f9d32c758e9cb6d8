/*
 * Text to ids, by byte-pair encoding or from texts encoded beforehand.
 *
 * Written here because the libraries that read tokenizer.json need a Rust toolchain for each target
 * or libpython. Regular expressions are PCRE2's and composed characters utf8proc's.
 */
#include <string.h>

#include "text/parts.h"
#include "text/utf8.h"

static carve_status encoded_beforehand(scope *owner, const tokenizer *t, const char *text,
                                       int64_t **ids, size_t *count) {
    const cJSON *entry;
    cJSON_ArrayForEach(entry, t->texts) {
        const char *known;
        const int64_t *encoded;
        TRY(json_text(entry, "text", &known));
        if (strcmp(known, text) != 0) continue;
        TRY(json_ints(owner, entry, "ids", 0, MOST_TOKENS, &encoded, count));
        *ids = (int64_t *)encoded;
        break;
    }
    return carve_ok;
}

static carve_status encode(scope *memory, scope *owner, const tokenizer *t, piece text,
                           int64_t **ids, size_t *count) {
    pieces words;
    TRY(apply_steps(memory, &t->steps, text, &words));
    *ids = scope_alloc(owner, total_size(&words), sizeof **ids);
    if (!*ids) return no_memory();
    for (size_t i = 0; i < words.count; i++) {
        const piece word = words.items[i];
        if (word.id == NO_ID) {
            TRY(bpe_encode(memory, &t->model, word, *ids, count));
        } else {
            (*ids)[(*count)++] = word.id;
        }
    }
    return carve_ok;
}

/* A special token that the model makes of plain characters, the unknown one apart, is refused. */
static carve_status require_text(const tokenizer *t, const int64_t *ids, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!t->special[ids[i]] || ids[i] == t->model.unknown) continue;
        return failure(CARVE_PROMPT_ERROR,
                       "The text contains '%.50s', which this tokenizer can only read as control. "
                       "Rephrase the question without it.",
                       t->spelling[ids[i]]);
    }
    return carve_ok;
}

carve_status tokenizer_encode(scope *owner, const tokenizer *t, const char *text, int64_t **ids,
                              size_t *count) {
    const piece whole = {text, strlen(text), NO_ID};
    scope temporary = {NULL};
    *ids = NULL;
    *count = 0;
    TRY(encoded_beforehand(owner, t, text, ids, count));
    if (*ids) return carve_ok;
    TRY(t->encodes);
    if (whole.size > t->longest_text) {
        return failure(CARVE_PROMPT_ERROR, "The question has more than %zu bytes. Shorten it.",
                       t->longest_text);
    }
    if (!utf8_is_valid(text, whole.size)) {
        return failure(CARVE_PROMPT_ERROR, "The question is not valid UTF-8. Pass UTF-8 text.");
    }
    carve_status status = encode(&temporary, owner, t, whole, ids, count);
    scope_release(&temporary);
    TRY(status);
    return require_text(t, *ids, *count);
}

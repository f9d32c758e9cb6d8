/* Tokens that stand beside a tokenizer's model. */
#include "text/added.h"

#include <string.h>

#include "text/parts.h"
#include "text/utf8.h"

/* Is it found in normalized text? tokenizers asks this of the ordinary ones unless they say. */
static bool is_normalized(const cJSON *token) {
    const cJSON *normalized = json_optional(token, "normalized");
    return normalized ? cJSON_IsTrue(normalized) : !json_is_true(token, "special");
}

static carve_status read_added_token(scope *owner, const cJSON *json, const text_steps *steps,
                                     const bool *special, added_token *out) {
    pieces changed;
    TRY(json_int(json, "id", 0, MOST_TOKENS, &out->id));
    TRY(json_text(json, "content", &out->text));
    out->size = strlen(out->text);
    out->special = special[out->id];
    if (!utf8_is_valid(out->text, out->size)) {
        return failure(CARVE_BUNDLE_ERROR, "tokenizer.json is not UTF-8. Export it again.");
    }
    if (!out->special && (json_is_true(json, "single_word") || json_is_true(json, "lstrip") ||
                          json_is_true(json, "rstrip"))) {
        return failure(CARVE_UNSUPPORTED,
                       "its added token '%.50s' looks at the characters around it", out->text);
    }
    TRY(apply_steps(owner, steps, (piece){out->text, out->size, NO_ID}, &changed));
    out->size = total_size(&changed);
    if (changed.count) out->text = changed.items[0].text;
    return carve_ok;
}

carve_status read_added_tokens(scope *owner, const cJSON *json, bool normalized,
                               const text_steps *steps, const bool *special, added_tokens *out) {
    const cJSON *list = json_optional(json, "added_tokens"), *item;
    out->items = scope_alloc(owner, (size_t)cJSON_GetArraySize(list), sizeof *out->items);
    if (!out->items) return no_memory();
    cJSON_ArrayForEach(item, list) {
        if (is_normalized(item) != normalized) continue;
        added_token *next = &out->items[out->count];
        TRY(read_added_token(owner, item, steps, special, next));
        if (next->size) out->count++;
    }
    return carve_ok;
}

/* The longest token that a text begins with, or NULL. */
static const added_token *longest(const added_tokens *all, const char *text, size_t size) {
    const added_token *best = NULL;
    for (size_t i = 0; i < all->count; i++) {
        const added_token *each = &all->items[i];
        if (each->size <= size && (!best || each->size > best->size) &&
            memcmp(text, each->text, each->size) == 0) {
            best = each;
        }
    }
    return best;
}

carve_status apply_added(scope *memory, const text_step *step, piece in, pieces *out) {
    size_t begun = 0, at = 0;
    (void)memory;
    while (at < in.size) {
        const added_token *found = longest(step->added, in.text + at, in.size - at);
        if (found && !found->special) {
            append_piece(out, in.text + begun, at - begun, NO_ID);
            append_piece(out, in.text + at, found->size, found->id);
            begun = at + found->size;
        }
        at += found ? found->size : 1;
    }
    append_piece(out, in.text + begun, in.size - begun, NO_ID);
    return carve_ok;
}

/* Tokens that stand beside a tokenizer's model and are found in a text as they are written. */
#ifndef CARVE_ADDED_H
#define CARVE_ADDED_H

#include "json.h"
#include "text/steps.h"

typedef struct added_token {
    const char *text;
    size_t size;
    int64_t id;
    bool special; /* plain characters in a question */
} added_token;

typedef struct added_tokens {
    added_token *items;
    size_t count;
} added_tokens;

/* Append those of tokenizer.json that are found in normalized text, or those that are found before;
 * `steps` normalize their own text. `special` is by id. */
carve_status read_added_tokens(scope *owner, const cJSON *json, bool normalized,
                               const text_steps *steps, const bool *special, added_tokens *out);
/* Cut out the added tokens of `added`. */
carve_status apply_added(scope *memory, const text_step *step, piece in, pieces *out);

#endif

/* What happens to a text before the model sees it, step by step: it is changed, and cut to pieces. */
#ifndef CARVE_STEPS_H
#define CARVE_STEPS_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "internal.h"

enum { MOST_STEPS = 16, NO_ID = -1 };

/* A part of a text, valid UTF-8, not empty; an added token has an id, and stays as it is. */
typedef struct piece {
    const char *text;
    size_t size;
    int64_t id; /* or NO_ID */
} piece;

typedef struct pieces {
    piece *items;
    size_t count;
} pieces;

struct added_tokens;

typedef struct text_step {
    /* Append what becomes of a piece: at most as many pieces as they have bytes. */
    carve_status (*apply)(scope *memory, const struct text_step *step, piece in, pieces *out);
    /* What the function wants of these: */
    const char *from, *to;
    bool unless_there;
    const pcre2_code *pattern;
    const struct added_tokens *added;
} text_step;

typedef struct text_steps {
    text_step items[MOST_STEPS];
    size_t count;
} text_steps;

/* Append a piece, unless it is empty. */
void append_piece(pieces *out, const char *text, size_t size, int64_t id);
size_t total_size(const pieces *all);
carve_status add_step(text_steps *steps, text_step step);
carve_status apply_steps(scope *memory, const text_steps *steps, piece text, pieces *out);

/* Write `to` for every `from`. */
carve_status apply_replace(scope *memory, const text_step *step, piece in, pieces *out);
/* Put `to` in front; `unless_there`: unless the piece begins with it. */
carve_status apply_prepend(scope *memory, const text_step *step, piece in, pieces *out);
/* Compose characters: Unicode's normalization form C. */
carve_status apply_nfc(scope *memory, const text_step *step, piece in, pieces *out);
/* Make a piece of each match of `pattern`, and of what lies between them. */
carve_status apply_split(scope *memory, const text_step *step, piece in, pieces *out);
/* Write a byte-level tokenizer's character for each byte. */
carve_status apply_spell(scope *memory, const text_step *step, piece in, pieces *out);

#endif

/* Byte-pair encoding: characters to tokens, which merges join. */
#ifndef CARVE_BPE_H
#define CARVE_BPE_H

#include "json.h"
#include "text/steps.h"

enum { BYTES = 256 };

typedef struct named_id {
    const char *name;
    int64_t id;
} named_id;

typedef struct merge {
    int64_t left, right, result;
    int64_t rank; /* the lowest is first */
} merge;

typedef struct bpe {
    named_id *names; /* sorted */
    size_t name_count;
    merge *merges; /* sorted by left, right */
    size_t merge_count;
    bool whole_words;        /* a word of the vocabulary is not merged */
    bool falls_back;         /* a character without a token becomes the tokens of its bytes */
    bool joins_unknown;      /* unknown characters side by side are one token */
    int64_t unknown;         /* stands for a character without tokens; NO_ID: it is dropped */
    int64_t byte_ids[BYTES]; /* of <0x00> to <0xFF>, or NO_ID */
} bpe;

/* Read tokenizer.json's "model"; its other options are CARVE_UNSUPPORTED. */
carve_status read_names(scope *owner, const cJSON *model, bpe *out);
carve_status read_bpe(scope *owner, const cJSON *model, bpe *out);
/* The id of a token, or NO_ID. */
int64_t bpe_id(const bpe *model, const char *name, size_t size);
/* Append a word's ids; there is room for one for each byte. */
carve_status bpe_encode(scope *memory, const bpe *model, piece word, int64_t *ids, size_t *count);
int by_pair(const void *a, const void *b);

#endif

/* A byte-level BPE tokenizer in memory. */
#ifndef CARVE_TOKENIZER_H
#define CARVE_TOKENIZER_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "json.h"

enum { MOST_TOKENS = 1 << 24 };

typedef struct named_id {
    const char *name;
    int64_t id;
} named_id;

typedef struct merge {
    int64_t left, right, result;
    int64_t rank;
} merge;

struct tokenizer {
    named_id *names; /* sorted by name */
    size_t name_count;
    const char **spelling; /* by id, NULL where there is none */
    bool *special;         /* by id */
    size_t id_count;
    merge *merges; /* sorted by left, right */
    size_t merge_count;
    bool whole_words; /* a word that is in the vocabulary is not merged */
    int64_t byte_ids[256];
    pcre2_code *splitter;
    const char *refusal; /* why text cannot be encoded, NULL if it can */
    bool decodes;
    const cJSON *texts; /* encoded beforehand, or NULL */
};

/* Code point that spells a byte: printable ones spell themselves, the others follow 255. */
unsigned byte_character(unsigned byte);
/* Write a code point below 0x800 as UTF-8 with a zero byte. */
void spell_character(unsigned character, char utf8[3]);

int by_name(const void *a, const void *b);
int by_pair(const void *a, const void *b);
int64_t id_of(const tokenizer *t, const char *name);

#endif

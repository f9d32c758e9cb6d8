/* A tokenizer in memory, and what reads its parts from tokenizer.json. */
#ifndef CARVE_PARTS_H
#define CARVE_PARTS_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/tokenizer.h"

/* From a token to its bytes. */
typedef struct decoder {
    text_steps steps;
    bool falls_back; /* <0x0A> is a byte */
    bool spelled;    /* a token's characters are bytes, see alphabet.h */
    bool joined;     /* no later step changes what a token says */
} decoder;

struct tokenizer {
    const char **spelling; /* by id, NULL where there is none */
    bool *special;         /* by id: plain characters in a question, nothing in an answer */
    size_t id_count;
    size_t longest_text; /* in bytes, of a question */
    bpe model;
    added_tokens raw, normalized; /* found before and after normalization */
    text_steps steps;             /* before the model */
    decoder decoder;
    carve_status encodes, decodes; /* or why not */
    const cJSON *texts;            /* encoded beforehand, or NULL */
};

/* ---- steps_file.c ---- */

/* A kind of step, and what reads it into a text_steps or a decoder. */
typedef struct step_kind {
    const char *type;
    carve_status (*read)(scope *owner, const cJSON *json, void *out);
} step_kind;

/* The kinds of a part of tokenizer.json, and the name of the list in its "Sequence". */
typedef struct step_kinds {
    const char *part, *list;
    const step_kind *items;
    size_t count;
} step_kinds;

/* Read a part, NULL if it is not there; a kind that is not listed is CARVE_UNSUPPORTED. */
carve_status read_steps(scope *owner, const cJSON *json, const step_kinds *kinds, void *out);
carve_status read_normalizer(scope *owner, const cJSON *json, text_steps *steps);
carve_status read_pre_tokenizer(scope *owner, const cJSON *json, text_steps *steps);
/* A step that writes one text for another. */
carve_status read_replace(scope *owner, const cJSON *json, void *steps);

/* ---- decoder_file.c ---- */

carve_status read_decoder(scope *owner, const cJSON *json, decoder *out);

#endif

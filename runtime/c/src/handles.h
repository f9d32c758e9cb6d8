/* What the public handles hold, and the functions that work on a loaded model. */
#ifndef CARVE_HANDLES_H
#define CARVE_HANDLES_H

#include "internal.h"
#include "json.h"

/* Outputs of the decoder; the caches follow these. */
enum { OUTPUT_LOGITS, OUTPUT_LAST_ROW, OUTPUT_PRESENT };

/* A key/value cache. Buffers have a capacity: a run writes behind what it continues, the longer
 * cache shares them, and going back to the shorter one rewinds. Without a capacity each run makes
 * new values. */
typedef struct cache {
    scope memory;
    OrtValue **values;
    int64_t length;   /* positions that are filled */
    int64_t capacity; /* positions that fit, or 0 */
    bool zeros;       /* not written yet: zeros on the host, in place of buffers */
} cache;

struct carve_model {
    scope memory;
    int users; /* the caller and the views */
    manifest bundle;
    runtime ort;
    tokenizer *text;
    OrtSession *sessions[GRAPH_COUNT];
    bool in_place;             /* the decoder appends to the caches that it is given */
    size_t cache_count;        /* tensors of a key/value cache */
    const char **past_names;   /* of the caches that go into the decoder */
    const char **output_names; /* of everything that comes out of it */
    cache idle;                /* buffers that no view uses, for the next one */
};

/* An image behind the vision encoder. */
typedef struct encoded_image {
    const void *features; /* image tokens * hidden, of the manifest's dtype */
    double window[4];      /* the part of the image that the tokens cover: x0, y0, x1, y1 */
} encoded_image;

/* One greedy answer. */
typedef struct pass {
    int64_t *ids;
    size_t id_count;
    float *attention; /* steps * tapped layers * image tokens */
    size_t steps;
} pass;

struct carve_view {
    scope memory;
    carve_model *model;
    uint8_t *pixels; /* height * width * 3 */
    int64_t height, width;
    encoded_image encoded;
    cache prefix;
    pass general; /* the general instruction's attention, in `general_memory` */
    scope general_memory;
    size_t general_limit;
};

struct carve_result {
    scope memory;
    carve_reading reading;
};

/* ---- model.c ---- */

/* Load a bundle into zeroed memory. */
carve_status model_open(carve_model *model, const char *folder, const carve_open_options *options);

/* ---- image.c ---- */

/* Preprocess an image, rows without gaps, and encode it. */
carve_status encode_image(scope *owner, const carve_model *model, const uint8_t *pixels,
                          int64_t height, int64_t width, encoded_image *out);

/* ---- prompt.c ---- */

/* Refuse a question that does not fit into the model's context, before any graph runs. */
carve_status check_context_budget(const carve_model *model, const prompt *p, const char *text,
                                  int32_t max_new_tokens);
/* Positions of segments first .. stop - 1 without texts. */
size_t count_fixed(const manifest *m, const prompt *p, size_t first, size_t stop);
/* Embeddings of ids, copied to out (count * hidden, of the manifest's dtype). */
carve_status embed_ids(const carve_model *model, const int64_t *ids, size_t count, void *out);
/* Embeddings of segments first .. stop - 1; images[i] are the features of image i. */
carve_status embed_prompt(scope *owner, const carve_model *model, const prompt *p, size_t first,
                          size_t stop, const char *text, const void *const images[2], void **out,
                          int64_t *length);

/* ---- decoder.c ---- */

/* Run the prompt up to and including the first image; out is empty. */
carve_status prefill(carve_model *model, const void *features, cache *out);
/* Release a cache; the model keeps its buffers for the next one. */
void cache_release(carve_model *model, cache *used);
/* Answer greedily after the prefix, whose buffers may be replaced by larger ones; images[i] are the
 * features of image i. */
carve_status generate(scope *owner, carve_model *model, cache *prefix, const prompt *p,
                      const char *text, const void *const images[2], int32_t max_new_tokens,
                      pass *out);

/* ---- settings.c ---- */

/* Read the manifest's default settings. */
carve_status settings_read(scope *owner, const cJSON *json, manifest *m);
carve_status settings_check(const manifest *m, const carve_ask_options *o);

/* ---- automatic.c ---- */

/* What the question's attention is divided by, and what is added to that first. `general` is NULL
 * where the contrast is off; the weights are those of steps and tapped layers. */
carve_status automatic_divisor(scope *owner, const manifest *m, const carve_ask_options *o,
                               const pass *question, const pass *general,
                               const double *step_weights, size_t steps,
                               const double *layer_weights, pass *divisor, double *added);
/* The share of the pixels that hold the saliency; those that are NaN do not count. */
double automatic_share(const float *saliency, size_t count);

/* ---- refine.c ---- */

/* Steps 3 to 7 of the method, by carve_refine.onnx, into the result. */
carve_status refine(scope *temporary, const carve_view *view, const pass *question,
                    const carve_ask_options *o, carve_result *result);

/* ---- method.c ---- */

carve_status method_ask(carve_view *view, scope *temporary, const char *question,
                        const carve_ask_options *o, carve_result *result);
carve_status method_plain(carve_view *view, scope *temporary, const char *question,
                          int32_t max_new_tokens, carve_result *result);

#endif

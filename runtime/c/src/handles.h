/* What the public handles hold, and the functions that work on a loaded model. */
#ifndef CARVE_HANDLES_H
#define CARVE_HANDLES_H

#include "internal.h"
#include "json.h"

/* One part of the decoder, loaded. */
typedef struct decoder_part {
    const part_spec *spec;
    OrtSession *session;
    size_t cache_count;        /* tensors of a key/value cache */
    const char **past_names;   /* of the caches that go in */
    const char **output_names; /* logits or hidden states, the attention rows if any, the caches */
    size_t output_count;
} decoder_part;

/* Keys and values of one part. */
typedef struct part_cache {
    scope memory;
    OrtValue **values; /* not written yet: zeros on the host, in place of buffers */
    bool written;
} part_cache;

/* A key/value cache. Buffers have a capacity: a run writes behind what it continues, the longer
 * cache shares them, and going back to the shorter one rewinds. Without a capacity each run makes
 * new values. */
typedef struct cache {
    part_cache parts[MOST_PARTS];
    size_t filled;         /* parts that hold all positions */
    int64_t length;        /* positions that are filled */
    int64_t capacity;      /* positions that fit, or 0 */
    int64_t next_position; /* the position id of what follows; not `length` under M-RoPE */
} cache;

/* The cache of a prompt's beginning, through the first image. The upper half of the decoder follows
 * the lower when it is first needed. */
typedef struct prefix {
    cache filled;
    OrtValue *states;   /* what the lower half returned; belongs to its part of the cache */
    int64_t *positions; /* axes * length, in `memory` */
    scope memory;
} prefix;

/* Work done. */
typedef struct counts {
    int64_t vision_runs, decoder_tokens, layer_tokens;
} counts;

struct carve_model {
    scope memory;
    int users; /* the caller and the views */
    manifest bundle;
    runtime ort;
    tokenizer *text;
    OrtSession *sessions[GRAPH_COUNT];
    decoder_part parts[MOST_PARTS];
    bool in_place; /* the decoder appends to the caches that it is given */
    cache idle;    /* buffers that no view uses, for the next one */
    counts work;   /* so far */
    int64_t least_pixels; /* the smallest budget of an image that is accepted, 0 if none is */
    bool knows_least_pixels;
};

/* An image behind the vision encoder. */
typedef struct encoded_image {
    const void *features; /* feature_count * hidden, of the manifest's dtype */
    const void *deepstack; /* layers * feature_count * hidden, or NULL */
    size_t feature_count;
    const int64_t *ids; /* what it contributes to a prompt: FEATURE, or ids between features */
    size_t length;
    const int64_t *positions; /* axes * length, relative to the first */
    int64_t next_position;    /* of what follows, likewise */
    const int64_t *map;       /* which of the ids form the attention map, in raster order */
    size_t map_count;
    int64_t grid[2];      /* rows, columns of the map */
    double window[4];     /* the part of the image that it covers: x0, y0, x1, y1 */
} encoded_image;

/* Pixels without gaps between rows. */
typedef struct picture {
    const uint8_t *pixels; /* height * width * 3 */
    int64_t height, width;
} picture;

/* Consecutive positions of a prompt. */
typedef struct chunk {
    OrtValue *states; /* embeddings, or hidden states for the upper half */
    int64_t count;
    const int64_t *positions; /* axes * count */
    int64_t next_position;
    OrtValue *deepstack; /* or NULL */
} chunk;

/* One greedy answer, or a single step of the lower half. */
typedef struct pass {
    int64_t *ids;
    size_t id_count;
    float *attention; /* steps * rows * image tokens */
    size_t steps, rows;
    double probability; /* of the answer, its end included */
} pass;

/* Who is told of the text. */
typedef struct listener {
    carve_token_function on_token; /* or NULL */
    void *context;
} listener;

/* Who is told of each step of a pass: its attention to `length` positions. */
struct step;
typedef struct watcher {
    carve_status (*on_step)(void *context, const carve_model *model, const struct step *now,
                            int64_t length); /* or NULL */
    void *context;
} watcher;

/* What a pass is about. */
typedef struct request {
    const prompt *prompt;
    const char *text;
    const encoded_image *images[2];
    int32_t max_new_tokens;
    bool lower; /* stop after the lower half of the decoder: one step, no answer */
    carve_stage stage;
    listener heard;
    watcher watched;
} request;

/* What the vision encoder takes of an image: `count` pictures or patches. */
typedef struct sight {
    const float *values; /* count * planes * height * width; a third of the planes each colour */
    int64_t count, planes, height, width;
} sight;

struct carve_view {
    scope memory;
    carve_model *model;
    picture image;
    sight seen; /* of the image; no values before the first comparison */
    int64_t scout_pixels; /* the budget, or 0 */
    encoded_image encoded;
    prefix prefix;
    pass general; /* the general instruction's attention, in `general_memory` */
    scope general_memory;
    size_t general_limit; /* its most steps */
    counts unread;        /* work that no result has told of */
};

struct carve_result {
    scope memory;
    carve_reading reading;
};

struct carve_attention {
    scope memory;
    carve_attention_reading reading;
};

/* ---- carve.c ---- */

/* Add the work since `before` to what no result has told of. */
void note_work(carve_view *view, const counts *before);

/* ---- bundle/listed_files.c, bundle/prompts.c ---- */

/* The path of a file that the manifest names, which must lie in the bundle. */
carve_status bundle_path(scope *owner, const char *folder, const char *name, const char **path);
/* Compare every file that the manifest lists with its size, and its sum unless `sizes_only`. */
carve_status bundle_check_files(scope *owner, const cJSON *files, const char *folder,
                                bool sizes_only);
carve_status bundle_read_prompts(scope *owner, const cJSON *json, manifest *m);

/* ---- model.c ---- */

/* Load a bundle into zeroed memory. */
carve_status model_open(carve_model *model, const char *folder, const carve_open_options *options);

/* ---- passes/image.c ---- */

/* Refuse a budget of pixels that the model cannot see an image in. */
carve_status check_pixels(carve_model *model, int64_t max_pixels);
/* Preprocess a picture in at most so many pixels, or 0; what it becomes belongs to the owner, and
 * picture and number must outlive it. */
carve_status see_image(scope *owner, const carve_model *model, const picture *image,
                       const int64_t *max_pixels, sight *out);
/* Preprocess a picture in at most so many pixels, or 0, and encode it, if the context has room for it
 * beside `others` of the prompt and an answer. */
carve_status encode_image(scope *owner, carve_model *model, const picture *image,
                          int64_t max_pixels, int64_t others, int64_t new_tokens,
                          encoded_image *out);

/* ---- passes/change.c ---- */

/* The mean absolute difference, in levels of a byte, of the cell of a view that differs most from
 * another picture's; infinite if they have different sizes. */
carve_status measure_change(carve_view *view, const picture *other, double *change);

/* ---- passes/prompt.c ---- */

/* Refuse what does not fit into the model's context. */
carve_status check_context(const manifest *m, int64_t prompt_length, int64_t new_tokens);
/* Positions of segments first .. stop - 1; images count for image_tokens each. */
carve_status count_prompt(const carve_model *model, const prompt *p, size_t first, size_t stop,
                          const char *text, int64_t image_tokens, int64_t *count);
/* Segments first .. stop - 1; the position id of the first is `start`. */
carve_status embed_prompt(scope *owner, const carve_model *model, const request *r, size_t first,
                          size_t stop, int64_t start, chunk *out);
/* Ids of the whole prompt, FEATURE for image tokens. */
carve_status prompt_ids(scope *owner, const carve_model *model, const request *r, int64_t **ids,
                        size_t *count);
/* One token. */
carve_status embed_token(scope *owner, const carve_model *model, const int64_t *id, int64_t start,
                         chunk *out);

/* ---- passes/decoder.c ---- */

typedef struct step {
    const float *logits;           /* vocabulary; NULL without the last part */
    const float *rows[MOST_PARTS]; /* tapped layers * heads * row_length of each part */
    int64_t row_length;
    OrtValue *states; /* what the last part that ran returned */
} step;

/* Run parts first .. stop - 1 over a chunk after `before`; `after`, which is empty, owns what comes
 * out. */
carve_status run_decoder(carve_model *model, const chunk *in, const cache *before, size_t first,
                         size_t stop, cache *after, step *out);
void cache_release(cache *used);

/* ---- passes/prefix.c ---- */

/* Run the lower half over the prompt up to and including the first image; out is empty. There is
 * room for what the bundle's own settings let follow. */
carve_status prefix_open(carve_model *model, const encoded_image *image, prefix *out);
/* See that `more` positions fit behind it, and that the upper half is there unless `lower`. */
carve_status prefix_ready(carve_model *model, const encoded_image *image, int64_t more, bool lower,
                          prefix *p);
/* Release it; the model keeps its buffers for the next one. */
void prefix_release(carve_model *model, prefix *used);

/* ---- passes/generate.c ---- */

/* Heads whose rows a bundle returns for each layer; 1 where it returns their mean. */
size_t heads_of_rows(const carve_model *model);
/* Attention to one position, the mean over heads, whose rows lie one behind the other. */
float mean_over_heads(const float *from, size_t heads, int64_t row_length);
/* Answer greedily after the prefix, or take one step of the lower half. */
carve_status generate(scope *owner, carve_model *model, prefix *prefix, const request *r,
                      pass *out);

/* ---- bundle/settings.c ---- */

/* Read the manifest's default settings. */
carve_status settings_read(scope *owner, const cJSON *json, manifest *m);
carve_status settings_check(const manifest *m, const carve_ask_options *o);
/* Set what a carve_variant stands for. */
carve_status settings_vary(carve_ask_options *o, int variant);

/* ---- method/attention.c ---- */

/* The rows of the fused layers, steps * layer_count * tokens; they are the scope's. */
carve_status chosen_rows(scope *owner, const manifest *m, const carve_ask_options *o,
                         const pass *from, size_t steps, size_t tokens, const float **rows);
/* Mean entropy in nats of `count` rows over the tokens. */
double attention_entropy(const float *rows, size_t count, size_t tokens);

/* ---- method/attend.c ---- */

/* Rows of a pass, kept step by step. */
typedef struct kept_rows {
    scope *owner;
    float *rows; /* steps * layers * width; 0 behind what a step read */
    size_t layers, width, steps, room;
} kept_rows;

/* Keep a step: a watcher's function, whose context is a kept_rows. */
carve_status keep_row(void *context, const carve_model *model, const struct step *now,
                      int64_t length);
/* Say what a pass about the view has attended to; `decided` has the id of each step. */
carve_status read_rows(scope *temporary, const carve_view *view, const request *r,
                       const kept_rows *kept, const int64_t *decided, size_t answer_count,
                       carve_attention *out);

/* ---- method/automatic.c ---- */

/* Maps that are fused: steps * layers * tokens, weighted by step. */
typedef struct maps {
    const float *question;
    const float *general; /* NULL where the contrast is off */
    const double *step_weights;
    size_t steps, layers, tokens;
} maps;

/* What the question's attention is divided by, and what is added to that first. */
carve_status automatic_divisor(scope *owner, const carve_ask_options *o, const maps *fused,
                               const float **divisor, double *added);
/* The share of the pixels that hold the saliency; those that are NaN do not count. */
double automatic_share(const float *saliency, size_t count);

/* ---- method/refine.c ---- */

/* Steps 3 to 7 of the method, by carve_refine.onnx, into the result. */
carve_status refine(scope *temporary, const carve_view *view, const pass *question,
                    const carve_ask_options *o, carve_result *result);
/* Leave the image as it is. */
carve_status refine_nothing(const carve_view *view, carve_result *result);

/* ---- method/method.c ---- */

carve_status method_ask(carve_view *view, scope *temporary, const char *question,
                        const carve_ask_options *o, carve_result *result);
/* `refined` is the second image, or NULL. */
carve_status method_plain(carve_view *view, scope *temporary, const char *question,
                          const carve_plain_options *o, const picture *refined,
                          carve_result *result);
carve_status method_attend(carve_view *view, scope *temporary, const char *text,
                           const carve_attend_options *o, carve_attention *attention);

#endif

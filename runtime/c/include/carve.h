/*
 * carve.h - ask a vision-language model about an image through CARVE, from a bundle.
 *
 *     carve_model *model;
 *     carve_view *view;
 *     carve_result *result;
 *     carve_reading reading = { sizeof reading };
 *
 *     carve_status status = carve_open("bundle", NULL, &model);
 *     if (status.code == CARVE_OK) status = carve_look(model, &image, &view);
 *     if (status.code == CARVE_OK) status = carve_ask(view, "What word is it?", NULL, &result);
 *     if (status.code == CARVE_OK) status = carve_read(result, &reading);
 *     puts(status.code == CARVE_OK ? reading.answer : status.message);
 *
 * Ownership. A handle that a call returns through its last argument is the caller's, who frees it
 * with the function of its name; free functions take NULL. What a reading points to belongs to
 * the result and lives as long as it. What a caller passes in stays the caller's and is not kept
 * beyond the call; pixels are copied.
 * A model may be freed before its views: its memory is released with the last of them.
 *
 * Threads. There is no global state. A model and its views are used by one thread at a time;
 * different models by different threads at once. carve_cancel may be called from any thread.
 *
 * Versions. Structures begin with struct_size, which the caller sets to sizeof the structure. New
 * fields come at the end: a caller that was compiled without them is served, and what it does not
 * know has the bundle's defaults. Other sizes are CARVE_INVALID_ARGUMENT.
 *
 * On failure a call returns a code other than CARVE_OK, a message that says what is wrong and
 * what to do, and sets the handle that it would have returned to NULL.
 */
#ifndef CARVE_H
#define CARVE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* On Windows a program that links the static library defines CARVE_STATIC. */
#if defined(_WIN32) && defined(CARVE_BUILDING)
#define CARVE_API __declspec(dllexport)
#elif defined(_WIN32) && !defined(CARVE_STATIC)
#define CARVE_API __declspec(dllimport)
#elif defined(__GNUC__)
#define CARVE_API __attribute__((visibility("default")))
#else
#define CARVE_API
#endif

#define CARVE_VERSION_MAJOR 0
#define CARVE_VERSION_MINOR 2

typedef enum carve_code {
    CARVE_OK = 0,
    CARVE_INVALID_ARGUMENT = 1, /* NULL, a wrong struct_size */
    CARVE_BUNDLE_ERROR = 2,     /* a file is missing, truncated, swapped or malformed */
    CARVE_IMAGE_ERROR = 3,      /* a side below 2 pixels, or too thin */
    CARVE_PROMPT_ERROR = 4,     /* empty, too long, not UTF-8, or control tokens in it */
    CARVE_SETTINGS_ERROR = 5,   /* a value out of range, a layer that is not exposed */
    CARVE_PROVIDER_ERROR = 6,   /* this ONNX Runtime lacks the provider, or cannot start it */
    CARVE_RUN_ERROR = 7,        /* ONNX Runtime failed */
    CARVE_UNSUPPORTED = 8,      /* a bundle of a kind that this library does not run */
    CARVE_NO_MEMORY = 9,
    CARVE_CANCELLED = 10        /* by carve_cancel, or by what on_token returned */
} carve_code;

typedef struct carve_status {
    carve_code code;
    char message[508]; /* UTF-8, empty if code is CARVE_OK */
} carve_status;

typedef struct carve_model carve_model;   /* a loaded bundle */
typedef struct carve_view carve_view;     /* an image that the model has encoded */
typedef struct carve_result carve_result; /* an answer with what led to it */
typedef struct carve_attention carve_attention; /* what a pass has attended to */

/* How to open a bundle. Zero and NULL choose the default. */
typedef struct carve_open_options {
    size_t struct_size;
    const char *provider; /* ONNX Runtime's name; "CPUExecutionProvider" by default */
    int32_t device;       /* the device's number; refused if the provider's have none */
    int32_t threads;      /* for one operator; 0 lets ONNX Runtime choose */
    int32_t sizes_only;   /* 1: compare the files' sizes, not their SHA-256 sums */
    const char *prompts;  /* path of a file made by `carve-export prompt`, or NULL */
} carve_open_options;

/* Settings with named values, as in docs/method.md. CARVE_CONTRAST_OFF leaves the question's
 * attention as it is. Numbers never change; new values are appended. */
/* settings: begin (`python -m tools.checks.settings_table --write`) */
typedef enum carve_steps {
    CARVE_STEPS_FIRST = 0,
    CARVE_STEPS_ALL = 1,
    CARVE_STEPS_LAST = 2
} carve_steps;

typedef enum carve_strategy {
    CARVE_STRATEGY_ATTENTION_SUM = 0,
    CARVE_STRATEGY_SIZE = 1,
    CARVE_STRATEGY_REMOVE_SMALL = 2
} carve_strategy;

typedef enum carve_rule {
    CARVE_RULE_RELEASED = 0,
    CARVE_RULE_PAPER = 1
} carve_rule;

typedef enum carve_method {
    CARVE_METHOD_CONTRAST = 0,
    CARVE_METHOD_QUESTION = 1,
    CARVE_METHOD_RELATIVE = 2,
    CARVE_METHOD_ROLLOUT = 3,
    CARVE_METHOD_SHARPEST_LAYER = 4,
    CARVE_METHOD_SINK_REMOVAL = 5,
    CARVE_METHOD_AGREEMENT = 6
} carve_method;

typedef enum carve_contrast {
    CARVE_CONTRAST_ON = 0,
    CARVE_CONTRAST_OFF = 1,
    CARVE_CONTRAST_AUTO = 2
} carve_contrast;

typedef enum carve_geometry {
    CARVE_GEOMETRY_INPUT = 0,
    CARVE_GEOMETRY_RELEASED = 1
} carve_geometry;

typedef enum carve_final_prompt {
    CARVE_FINAL_PAIR = 0,
    CARVE_FINAL_REFINED = 1
} carve_final_prompt;

typedef enum carve_resize_refined {
    CARVE_RESIZE_BY_SIZE = 0,
    CARVE_RESIZE_TWICE = 1,
    CARVE_RESIZE_ONCE = 2
} carve_resize_refined;

typedef enum carve_variant {
    CARVE_VARIANT_V1 = 0,
    CARVE_VARIANT_V2 = 1,
    CARVE_VARIANT_V3 = 2,
    CARVE_VARIANT_V4 = 3
} carve_variant;
/* settings: end */

/* For mask_top_p and regularizer: derive the value from each question's attention. */
#define CARVE_AUTO (-1.0)

/* For sure_probability and focused_entropy: no threshold. */
#define CARVE_NONE (-1.0)

/* The passes of a question. */
typedef enum carve_stage {
    CARVE_STAGE_QUESTION = 0,
    CARVE_STAGE_GENERAL = 1,
    CARVE_STAGE_FINAL = 2
} carve_stage;

/* Receives the text of a pass while it is generated, whole UTF-8 characters up to a zero. Returns 0
 * to go on; anything else ends the call with CARVE_CANCELLED. It must not use the model. */
typedef int32_t (*carve_token_function)(void *context, carve_stage stage, const char *text);

/* Settings of one question, as in docs/method.md; carve_defaults fills in the bundle's, but for
 * scout_pixels, which the view has. */
typedef struct carve_ask_options {
    size_t struct_size;
    const int32_t *layers; /* decoder layers that are fused, from 0, each once */
    size_t layer_count;
    carve_steps steps;
    carve_strategy strategy;
    carve_rule rule;
    carve_geometry geometry;
    carve_final_prompt final_prompt;
    double mask_top_p;      /* above 0, at most 1; or CARVE_AUTO */
    double outlier_percent; /* 0 to 100 */
    double regularizer;     /* 0 or more; or CARVE_AUTO */
    int32_t max_regions;
    int32_t max_new_tokens;
    int64_t max_refined_pixels; /* 0: four times the image's */
    carve_contrast contrast;
    int64_t scout_pixels; /* 0: what the view has; any other number must be just that */
    int64_t final_pixels; /* most pixels that the final pass sees of the refined image; 0: the
                           * model's own limit */
    double sure_probability; /* for adaptive, 0 to 1; or CARVE_NONE */
    double focused_entropy;  /* for adaptive, in nats; or CARVE_NONE */
    carve_resize_refined resize_refined; /* CARVE_RESIZE_ONCE is refused: the crop is always
                                          * resized twice here, which is exact */
    int32_t early_exit; /* 1: the attention passes stop after the lower half of the decoder */
    int32_t adaptive;   /* 1: a sure and focused plain answer is kept */
    carve_token_function on_token; /* or NULL */
    void *on_token_context;
    carve_method method; /* CARVE_METHOD_CONTRAST or CARVE_METHOD_QUESTION, which is
                          * CARVE_CONTRAST_OFF; the others are refused here */
} carve_ask_options;

/* How to encode an image. */
typedef struct carve_look_options {
    size_t struct_size;
    int64_t scout_pixels; /* most pixels that the model sees of it; 0: the bundle's default */
} carve_look_options;

/* An image: 8-bit RGB, rows from the top, row_bytes apart (0: 3 * width). */
typedef struct carve_image {
    const uint8_t *pixels;
    int32_t width;
    int32_t height;
    size_t row_bytes;
} carve_image;

/* How to ask plainly. Zero and NULL choose the default. */
typedef struct carve_plain_options {
    size_t struct_size;
    int32_t max_new_tokens; /* 0: the bundle's default */
    carve_token_function on_token;
    void *on_token_context;
    const carve_image *refined; /* a second image, to ask about the pair: a crop of your own; or
                                 * NULL */
} carve_plain_options;

/* What a result holds. A plain result has answer, ids and the work done; the rest is NULL or 0. */
typedef struct carve_reading {
    size_t struct_size;
    const char *answer;       /* UTF-8; NULL if the ids cannot be decoded here */
    const char *plain_answer; /* the same, without CARVE; NULL after an early exit */
    const int64_t *ids;       /* of the answer */
    size_t id_count;
    const int64_t *plain_ids;
    size_t plain_id_count;
    int32_t width; /* of saliency and mask: the image's */
    int32_t height;
    const float *saliency; /* height * width; NaN where the model saw nothing */
    const uint8_t *mask;   /* height * width, 0 or 1 */
    int32_t box[4];        /* x0, y0, x1, y1, half-open */
    const uint8_t *refined; /* refined_height * refined_width * 3, what the final pass saw */
    int32_t refined_width;
    int32_t refined_height;
    int32_t refined_limited; /* 1 if max_refined_pixels or final_pixels reduced it */
    double plain_probability; /* the model's own, of the plain answer with its end; 0 without one */
    double entropy;      /* attention entropy of the question pass's last step, in nats */
    const char *skipped; /* why adaptive kept the plain answer, or NULL: then nothing is cut away */
    int32_t rows, columns; /* of the attention map */
    int64_t vision_runs;    /* images encoded for this answer, carve_look's by the first one */
    int64_t decoder_tokens; /* positions that went through the decoder's first layer */
    int64_t layer_tokens;   /* positions times layers that they went through */
    double probability;     /* the model's own, of the answer with its end */
} carve_reading;

/* How to attend. Zero and NULL choose the default. */
typedef struct carve_attend_options {
    size_t struct_size;
    int32_t generate; /* most steps; 0: one, which decides the first word of the answer */
    carve_token_function on_token; /* is told of CARVE_STAGE_QUESTION */
    void *on_token_context;
} carve_attend_options;

/* In carve_attention_reading.ids: a position that an image token holds. */
#define CARVE_IMAGE_TOKEN (-1)

/* What a pass has attended to. Step s reads the prompt and the first s words of the answer, and
 * decides the next word. Its attention from layers[l] to position t, the mean over heads, is
 * rows[(s * layer_count + l) * positions + t]: 0 behind the positions - step_count + 1 + s that it
 * read, over which the row sums to 1. Texts are NULL if the ids cannot be decoded here. */
typedef struct carve_attention_reading {
    size_t struct_size;
    const float *rows; /* step_count * layer_count * positions */
    size_t step_count;
    size_t layer_count;
    size_t positions;
    const int32_t *layers;     /* of the decoder, ascending */
    const int64_t *ids;        /* positions: what was read; CARVE_IMAGE_TOKEN for image tokens */
    const char *const *tokens; /* the same as text, a token each; "" for image tokens, U+FFFD for
                                * parts of a character */
    const char *const *words;  /* step_count: what each step decided, the end included */
    const char *answer;
    const int64_t *map_tokens; /* grid_rows * grid_columns: the positions that form the map, in
                                * raster order */
    int32_t grid_rows, grid_columns;
    double window[4];      /* what the map covers, in pixels of the image: x0, y0, x1, y1 */
    int32_t width, height; /* of the image */
    const double *mass;    /* step_count * layer_count: the share that falls on image tokens */
    const double *entropy; /* the same: over the map's tokens, in nats */
} carve_attention_reading;

/* Load a bundle. options may be NULL. */
CARVE_API carve_status carve_open(const char *folder, const carve_open_options *options,
                                  carve_model **model);

/* Fill options, whose struct_size is set, with the bundle's defaults, and scout_pixels with 0: what
 * the view has. The layers that it then points to belong to the model. */
CARVE_API carve_status carve_defaults(const carve_model *model, carve_ask_options *options);

/* Choose one of the released code's combinations of steps and strategy. */
CARVE_API carve_status carve_set_variant(carve_ask_options *options, carve_variant variant);

/* Encode an image, to ask about it: what depends on it alone is computed once, however many
 * questions follow. */
CARVE_API carve_status carve_look(carve_model *model, const carve_image *image, carve_view **view);

/* The same within a budget of pixels. options may be NULL. */
CARVE_API carve_status carve_look_with(carve_model *model, const carve_image *image,
                                       const carve_look_options *options, carve_view **view);

/* Say how much another image differs from the view's, as the model sees both: what the vision encoder
 * takes of each is divided into cells of 4 x 4 pixels, and this is the mean absolute difference of
 * the cell that differs most, in levels of 255; infinite for an image of another size. Neither the
 * encoder nor the decoder runs. A camera's loop asks about a frame again when this is large: 20 is
 * above most noise (docs/watch.md). */
CARVE_API carve_status carve_change(carve_view *view, const carve_image *image, double *change);

/* Ask through CARVE. options may be NULL. A question has at most 64 bytes for each position of the
 * model's context, and at most 2^24. */
CARVE_API carve_status carve_ask(carve_view *view, const char *question,
                                 const carve_ask_options *options, carve_result **result);

/* Ask plainly, in one pass. max_new_tokens 0 is the bundle's default. */
CARVE_API carve_status carve_plain(carve_view *view, const char *question, int32_t max_new_tokens,
                                   carve_result **result);

/* The same with options, which may be NULL. */
CARVE_API carve_status carve_plain_with(carve_view *view, const char *question,
                                        const carve_plain_options *options, carve_result **result);

/* Return where the model looks while it reads a text, which stands where a question stands, and
 * answers it. options may be NULL. */
CARVE_API carve_status carve_attend(carve_view *view, const char *text,
                                    const carve_attend_options *options,
                                    carve_attention **attention);

/* With cancelled 1, from any thread: the call that is running on the model or its views ends with
 * CARVE_CANCELLED as soon as the operator that runs is done, and later calls end likewise until
 * this is called with 0. Views stay as they were. */
CARVE_API carve_status carve_cancel(carve_model *model, int32_t cancelled);

/* Fill reading, whose struct_size is set, with pointers into the result. */
CARVE_API carve_status carve_read(const carve_result *result, carve_reading *reading);

/* The same of what a pass has attended to. */
CARVE_API carve_status carve_read_attention(const carve_attention *attention,
                                            carve_attention_reading *reading);

CARVE_API void carve_attention_free(carve_attention *attention);
CARVE_API void carve_result_free(carve_result *result);
CARVE_API void carve_view_free(carve_view *view);
CARVE_API void carve_model_free(carve_model *model);

#ifdef __cplusplus
}
#endif

#endif

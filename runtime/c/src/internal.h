/* What the files of libcarve share. Nothing here is exported. */
#ifndef CARVE_INTERNAL_H
#define CARVE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <onnxruntime_c_api.h>

#include "bundle_format.h"
#include "carve.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- status.c: statuses, and memory that is released all at once ---- */

extern const carve_status carve_ok;

carve_status failure(carve_code code, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(gnu_printf, 2, 3)))
#endif
    ;
carve_status no_memory(void);
/* An argument that must not be NULL. */
carve_status missing(const char *what);
/* Copy what the caller knows of a structure over ours, or of ours to the caller. Both begin with
 * their size, which is `size`, or `first`: that of the structure's first version. */
carve_status struct_take(const char *what, void *ours, size_t size, const void *theirs,
                         size_t first);
carve_status struct_give(const char *what, const void *ours, size_t size, void *theirs,
                         size_t first);

/* Return a failure to the caller. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        carve_status status_ = (call);                                                             \
        if (status_.code != CARVE_OK) return status_;                                              \
    } while (0)

/* Things that are released together, last first. */
typedef struct scope {
    struct owned *last;
} scope;

typedef void (*release_function)(void *thing, const void *context);

/* Zeroed memory for count elements, NULL if there is none. */
void *scope_alloc(scope *owner, size_t count, size_t size);
/* The same for count rows of width elements; NULL too if no memory is that large. */
void *scope_rows(scope *owner, size_t count, size_t width, size_t size);
char *scope_copy(scope *owner, const char *text);
/* Make the scope the owner of a thing; if that fails, the thing is released at once. */
carve_status scope_own(scope *owner, void *thing, release_function release, const void *context);
void scope_release(scope *owner);

/* ---- bundle/files.c, bundle/sha256.c: paths are UTF-8 on every system ---- */

/* Open a file to read its bytes; NULL and errno if it cannot be. */
FILE *file_open(const char *path);
/* The size of a regular file, -1 if there is none. */
int64_t file_size(const char *path);
/* Whether a file lies in a folder, links followed. */
bool file_stays(const char *folder, const char *path);
/* A path as ONNX Runtime takes it. */
carve_status native_path(scope *owner, const char *path, const ORTCHAR_T **out);
/* The whole of a file, with a zero byte after it. */
carve_status read_file(scope *owner, const char *path, size_t limit, char **data, size_t *size);

/* SHA-256 of a file as 64 hexadecimal digits and a zero byte. */
carve_status file_sha256(const char *path, char digest[65]);

/* ---- bundle/bundle.c: the manifest ---- */

typedef struct segment {
    const int64_t *ids; /* literal tokens, or NULL */
    size_t count;
    const char *text; /* with {text} in it, or NULL; the segment is an image if both are NULL */
    int image;
} segment;

typedef struct prompt {
    segment *segments;
    size_t count;
} prompt;

enum { GRAPH_PREPROCESS, GRAPH_VISION, GRAPH_EMBED, GRAPH_REFINE, GRAPH_COUNT };

/* The decoder is one graph, or a lower and an upper half. */
enum { MOST_PARTS = 2 };

/* Axes of position ids under M-RoPE: time, row, column. */
enum { MROPE_AXES = 3 };

/* Of pictures: red, green, blue. */
enum { COLORS = 3 };

typedef struct part_spec {
    const char *name, *path;
    const char *input, *output; /* what it works on and towards */
    int64_t first, stop;        /* its layers */
    size_t tapped;              /* how many of them return their attention */
} part_spec;

typedef struct manifest {
    const char *folder;
    const char *graphs[GRAPH_COUNT]; /* paths */
    const char *tokenizer;           /* path */
    const char **vision_inputs;      /* names, in the graph's order */
    size_t vision_input_count;
    part_spec parts[MOST_PARTS];
    size_t part_count;
    prompt single, pair;
    size_t prefix; /* segments that both start with, through the first image */
    const char *suffix, *general;
    double max_aspect_ratio;
    double levels[COLORS]; /* levels of a byte to one unit of pixel_values */
    int64_t patch_side;    /* pixel_values are patches of this side; 0: whole pictures */
    int64_t layers, key_value_heads, head_dim, hidden_size, vocab_size, context_length;
    int64_t axes;      /* of position ids: 1, or MROPE_AXES */
    int64_t deepstack; /* layers that take features of the image, or 0 */
    int64_t row_heads; /* that each layer's attention has a row of, or 0: it is their mean */
    const int32_t *tapped;
    size_t tapped_count;
    const int64_t *eos;
    size_t eos_count;
    int64_t image_token;
    ONNXTensorElementDataType dtype; /* of embeddings, image features and caches */
    bool fused;                      /* the profile `ort`: GroupQueryAttention */
    bool widens;                     /* matrices are stored in half precision, computed in float32 */
    carve_ask_options defaults;
} manifest;

/* Read carve.json and check every file that it lists. */
carve_status manifest_open(scope *owner, const char *folder, bool sizes_only, manifest *out);
bool segment_is_image(const segment *s);

/* ---- text/tokenizer.c; text/tokenizer.h has answers piece by piece ---- */

typedef struct tokenizer tokenizer;

carve_status tokenizer_open(scope *owner, const manifest *m, const char *prompts_file,
                            tokenizer **out);
/* Ids of a text in which special tokens are plain characters. */
carve_status tokenizer_encode(scope *owner, const tokenizer *t, const char *text, int64_t **ids,
                              size_t *count);
/* Text of an answer, outer white space stripped; NULL if this kind cannot be decoded. */
carve_status tokenizer_decode(scope *owner, const tokenizer *t, const int64_t *ids, size_t count,
                              const char **text);

/* Each token's own text, special ones as they are spelled: "" for FEATURE, U+FFFD where a token is a
 * part of a character, and for U+0000. NULL if this kind cannot be decoded. */
carve_status tokenizer_words(scope *owner, const tokenizer *t, const int64_t *ids, size_t count,
                             const char *const **words);

/* ---- provider.c: who runs the graphs ---- */

enum { MOST_PROVIDER_OPTIONS = 3 };

typedef struct provider {
    const char *name;   /* ONNX Runtime's; the caller's text if it is not in provider_table.h */
    const char *device; /* the option that names the device, or NULL */
    const char *first;  /* the device that is taken where they are not numbered, or NULL */
    const char *memory; /* where outputs can stay; NULL: on the host */
    bool appends_float32, appends_float16; /* to the caches that it is given, in place */
    const char *fixed[2 * MOST_PROVIDER_OPTIONS - 1]; /* key, value, ..., NULL */
} provider;

typedef struct provider_setting {
    const char *keys[MOST_PROVIDER_OPTIONS], *values[MOST_PROVIDER_OPTIONS];
    size_t count;
    char number[16]; /* of the device */
} provider_setting;

/* The provider that the options name; the CPU if they name none. */
carve_status provider_find(const carve_open_options *options, provider *out);
/* Its options, the device's number among them; they point into the result. */
void provider_options(const provider *p, int32_t device, provider_setting *out);

/* ---- graph.c: ONNX Runtime ---- */

#define F16 ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16
#define F32 ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT
#define F64 ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE
#define I64 ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64
#define U8 ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8
#define BOOL ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL

typedef struct runtime {
    const OrtApi *api;
    OrtEnv *env;
    struct cancelling *cancelling;
    OrtMemoryInfo *host, *device; /* memory; the same on a CPU */
    provider provider;            /* of the model's graphs */
    int32_t device_number;
    int32_t threads;
} runtime;

typedef struct feed {
    const char *name;
    const OrtValue *value;
} feed;

/* What a run returns, and where. */
typedef struct outputs {
    const char *const *names;
    size_t count;
    size_t on_host;        /* this many come to the host, those behind them stay on the device */
    OrtValue *const *into; /* what the last ones are written into, or NULL for new values */
    size_t into_count;
} outputs;

carve_status runtime_open(scope *owner, const carve_open_options *options, runtime *out);
/* End the runs of other threads, or allow runs again. */
carve_status runtime_cancel(runtime *r, bool cancelled);
/* Load a graph, on the provider or on the CPU; it may widen its weights. */
carve_status session_open(scope *owner, const runtime *r, const char *path, bool on_provider,
                          bool widens, OrtSession **out);
size_t element_size(ONNXTensorElementDataType type);
/* A tensor that uses memory without copying it: the memory must outlive it. */
carve_status tensor_over(scope *owner, const runtime *r, ONNXTensorElementDataType type,
                         const void *data, const int64_t *shape, size_t rank, OrtValue **out);
carve_status session_run(scope *owner, const runtime *r, OrtSession *session, const char *name,
                         const feed *feeds, size_t feed_count, const outputs *expected,
                         OrtValue **values);
/* The data of a tensor on the host, after checking type and shape; a negative size is filled in. */
carve_status tensor_read(const runtime *r, const OrtValue *value, const char *name,
                         ONNXTensorElementDataType type, int64_t *shape, size_t rank,
                         const void **data);

#endif

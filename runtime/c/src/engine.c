/* The passes: preprocess, encode, and greedy decoding over a key/value cache. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

enum { LOGITS, LAST_ROW, FIRST_PRESENT, CACHES_PER_LAYER = 2 };

/* ---- names of the decoder's tensors ---- */

static carve_status cache_names(scope *owner, const char *prefix, int64_t layers,
                                const char **names) {
    for (int64_t i = 0; i < CACHES_PER_LAYER * layers; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s.%lld.%s", prefix, (long long)(i / CACHES_PER_LAYER),
                 i % CACHES_PER_LAYER ? "value" : "key");
        names[i] = scope_copy(owner, name);
        if (!names[i]) return no_memory();
    }
    return carve_ok;
}

static size_t cache_count(const engine *e) { return CACHES_PER_LAYER * (size_t)e->bundle->layers; }

carve_status engine_open(scope *owner, engine *e, const carve_open_options *options) {
    const manifest *m = e->bundle;
    carve_open_options on_cpu = *options;
    on_cpu.provider = NULL;
    for (int i = 0; i < GRAPH_COUNT; i++) {
        /* What surrounds the model is double precision and integers: work for the CPU. */
        bool is_model = i == GRAPH_VISION || i == GRAPH_EMBED || i == GRAPH_DECODER;
        TRY(session_open(owner, e->ort, m->graphs[i], is_model ? options : &on_cpu,
                         &e->sessions[i]));
    }
    e->past_names = scope_alloc(owner, cache_count(e), sizeof *e->past_names);
    e->output_names = scope_alloc(owner, FIRST_PRESENT + cache_count(e), sizeof *e->output_names);
    if (!e->past_names || !e->output_names) return no_memory();
    e->output_names[LOGITS] = "logits";
    e->output_names[LAST_ROW] = "decoder_attentions.last_row";
    TRY(cache_names(owner, "past_key_values", m->layers, e->past_names));
    return cache_names(owner, "present", m->layers, e->output_names + FIRST_PRESENT);
}

/* ---- images ---- */

carve_status engine_see(scope *owner, const engine *e, const uint8_t *pixels, int64_t height,
                        int64_t width, seen *out) {
    static const char *const outputs[] = {"pixel_values", "window"};
    static const char *const features[] = {"image_features"};
    const int64_t shape[] = {height, width, 3};
    int64_t four[] = {4};
    int64_t tokens[] = {1, image_tokens(e->bundle), e->bundle->hidden_size};
    OrtValue *image, *made[2], *encoded;
    const void *data;
    TRY(tensor_over(owner, e->ort, U8, pixels, shape, 3, &image));
    const feed bytes = {"image", image};
    TRY(session_run(owner, e->ort, e->sessions[GRAPH_PREPROCESS], "preprocess.onnx", &bytes, 1,
                    outputs, made, 2));
    TRY(tensor_read(e->ort, made[1], "window", F64, four, 1, &data));
    memcpy(out->window, data, sizeof out->window);
    const feed values = {"pixel_values", made[0]};
    TRY(session_run(owner, e->ort, e->sessions[GRAPH_VISION], "vision_encoder.onnx", &values, 1,
                    features, &encoded, 1));
    TRY(tensor_read(e->ort, encoded, features[0], F32, tokens, 3, &data));
    out->features = data;
    return carve_ok;
}

/* ---- prompts ---- */

/* Replace every {text} of a segment. */
static carve_status filled(scope *owner, const char *segment, const char *text, char **out) {
    static const char mark[] = "{text}";
    const size_t mark_size = sizeof mark - 1, text_size = strlen(text);
    size_t size = strlen(segment) + 1;
    for (const char *at = segment; (at = strstr(at, mark)); at += mark_size) size += text_size;
    char *to = *out = scope_alloc(owner, size, 1);
    if (!to) return no_memory();
    const char *at;
    for (; (at = strstr(segment, mark)); segment = at + mark_size) {
        memcpy(to, segment, (size_t)(at - segment));
        to += at - segment;
        memcpy(to, text, text_size);
        to += text_size;
    }
    memcpy(to, segment, strlen(segment) + 1);
    return carve_ok;
}

/* A segment's ids; count 0 and ids NULL for an image. */
static carve_status segment_ids(scope *owner, const engine *e, const segment *s, const char *text,
                                const int64_t **ids, size_t *count) {
    *ids = s->ids;
    *count = s->ids ? s->count : 0;
    if (!s->text) return carve_ok;
    char *whole;
    int64_t *encoded;
    TRY(filled(owner, s->text, text, &whole));
    TRY(tokenizer_encode(owner, e->text, whole, &encoded, count));
    *ids = encoded;
    return carve_ok;
}

static bool is_image(const segment *s) { return !s->ids && !s->text; }

carve_status engine_require_room(const engine *e, const prompt *p, const char *text,
                                 int32_t max_new_tokens) {
    scope temporary = {NULL};
    int64_t length = 0, limit = e->bundle->context_length;
    carve_status status = carve_ok;
    for (size_t i = 0; i < p->count && status.code == CARVE_OK; i++) {
        const int64_t *ids;
        size_t count = 0;
        status = segment_ids(&temporary, e, &p->segments[i], text, &ids, &count);
        length += is_image(&p->segments[i]) ? image_tokens(e->bundle) : (int64_t)count;
    }
    scope_release(&temporary);
    TRY(status);
    if (length + max_new_tokens - 1 <= limit) return carve_ok;
    return failure(CARVE_PROMPT_ERROR,
                   "The prompt of %lld tokens and %d new ones need more than the model's %lld "
                   "positions. Shorten the question, or lower max_new_tokens.",
                   (long long)length, (int)max_new_tokens, (long long)limit);
}

/* Embeddings of ids, copied to out (count * hidden). */
static carve_status embed_ids(const engine *e, const int64_t *ids, size_t count, float *out) {
    static const char *const outputs[] = {"inputs_embeds"};
    const int64_t shape[] = {1, (int64_t)count};
    int64_t embedded[] = {1, (int64_t)count, e->bundle->hidden_size};
    scope temporary = {NULL};
    OrtValue *input, *output;
    const void *data;
    if (!count) return carve_ok;
    carve_status status = tensor_over(&temporary, e->ort, I64, ids, shape, 2, &input);
    if (status.code == CARVE_OK) {
        const feed fed = {"input_ids", input};
        status = session_run(&temporary, e->ort, e->sessions[GRAPH_EMBED], "embed_tokens.onnx",
                             &fed, 1, outputs, &output, 1);
    }
    if (status.code == CARVE_OK) {
        status = tensor_read(e->ort, output, outputs[0], F32, embedded, 3, &data);
    }
    if (status.code == CARVE_OK) {
        memcpy(out, data, count * (size_t)e->bundle->hidden_size * sizeof *out);
    }
    scope_release(&temporary);
    return status;
}

/* Embeddings of segments first .. stop - 1, image features in their places. */
static carve_status embed(scope *owner, const engine *e, const prompt *p, size_t first, size_t stop,
                          const char *text, const float *const images[2], float **out,
                          int64_t *length) {
    const size_t hidden = (size_t)e->bundle->hidden_size;
    const size_t tokens = (size_t)image_tokens(e->bundle);
    const int64_t **ids = scope_alloc(owner, stop - first, sizeof *ids);
    size_t *counts = scope_alloc(owner, stop - first, sizeof *counts), total = 0, at = 0;
    if (!ids || !counts) return no_memory();
    for (size_t i = first; i < stop; i++) {
        const segment *s = &p->segments[i];
        TRY(segment_ids(owner, e, s, text, &ids[i - first], &counts[i - first]));
        if (is_image(s)) counts[i - first] = tokens;
        total += counts[i - first];
    }
    *out = scope_alloc(owner, total * hidden, sizeof **out);
    if (!*out) return no_memory();
    for (size_t i = first; i < stop; at += counts[i - first], i++) {
        const segment *s = &p->segments[i];
        if (is_image(s)) {
            memcpy(*out + at * hidden, images[s->image], tokens * hidden * sizeof **out);
        } else {
            TRY(embed_ids(e, ids[i - first], counts[i - first], *out + at * hidden));
        }
    }
    *length = (int64_t)total;
    return carve_ok;
}

/* ---- the decoder ---- */

typedef struct step {
    const float *logits; /* vocabulary */
    const float *row;    /* tapped layers * length, of the last position */
} step;

static carve_status empty_cache(const engine *e, cache *out) {
    const manifest *m = e->bundle;
    const int64_t shape[] = {1, m->key_value_heads, 0, m->head_dim};
    float *nothing = scope_alloc(&out->memory, 1, sizeof *nothing);
    out->values = scope_alloc(&out->memory, cache_count(e), sizeof *out->values);
    if (!nothing || !out->values) return no_memory();
    for (size_t i = 0; i < cache_count(e); i++) {
        OrtValue *value;
        TRY(tensor_over(&out->memory, e->ort, F32, nothing, shape, 4, &value));
        out->values[i] = value;
    }
    return carve_ok;
}

/* Run over `count` embeddings after `before`; `after` owns everything that comes out. */
static carve_status run_decoder(const engine *e, const float *embeds, int64_t count,
                                const cache *before, cache *after, step *out) {
    const manifest *m = e->bundle;
    const int64_t total = before->length + count;
    const int64_t embeds_shape[] = {1, count, m->hidden_size}, mask_shape[] = {1, total},
                  positions_shape[] = {1, count};
    int64_t logits_shape[] = {1, 1, m->vocab_size};
    int64_t row_shape[] = {1, (int64_t)m->tapped_count, total};
    const size_t caches = cache_count(e);
    scope *owner = &after->memory;
    int64_t *mask = scope_alloc(owner, (size_t)total, sizeof *mask);
    int64_t *positions = scope_alloc(owner, (size_t)count, sizeof *positions);
    feed *feeds = scope_alloc(owner, 3 + caches, sizeof *feeds);
    OrtValue **values = scope_alloc(owner, FIRST_PRESENT + caches, sizeof *values);
    OrtValue *inputs[3];
    const void *data;
    if (!mask || !positions || !feeds || !values) return no_memory();
    for (int64_t i = 0; i < total; i++) mask[i] = 1;
    for (int64_t i = 0; i < count; i++) positions[i] = before->length + i;
    TRY(tensor_over(owner, e->ort, F32, embeds, embeds_shape, 3, &inputs[0]));
    TRY(tensor_over(owner, e->ort, I64, mask, mask_shape, 2, &inputs[1]));
    TRY(tensor_over(owner, e->ort, I64, positions, positions_shape, 2, &inputs[2]));
    feeds[0] = (feed){"inputs_embeds", inputs[0]};
    feeds[1] = (feed){"attention_mask", inputs[1]};
    feeds[2] = (feed){"position_ids", inputs[2]};
    for (size_t i = 0; i < caches; i++) feeds[3 + i] = (feed){e->past_names[i], before->values[i]};
    TRY(session_run(owner, e->ort, e->sessions[GRAPH_DECODER], "decoder_model_merged.onnx", feeds,
                    3 + caches, e->output_names, values, FIRST_PRESENT + caches));
    TRY(tensor_read(e->ort, values[LOGITS], "logits", F32, logits_shape, 3, &data));
    out->logits = data;
    TRY(tensor_read(e->ort, values[LAST_ROW], "last_row", F32, row_shape, 3, &data));
    out->row = data;
    after->values = (const OrtValue **)values + FIRST_PRESENT;
    after->length = total;
    return carve_ok;
}

carve_status engine_prefix(const engine *e, const float *features, cache *out) {
    const float *const images[2] = {features, NULL};
    scope temporary = {NULL};
    cache nothing = {{NULL}, NULL, 0};
    float *embeds;
    int64_t length;
    step unused;
    carve_status status = embed(&temporary, e, &e->bundle->single, 0, e->bundle->prefix, "",
                                images, &embeds, &length);
    if (status.code == CARVE_OK) status = empty_cache(e, &nothing);
    if (status.code == CARVE_OK) status = run_decoder(e, embeds, length, &nothing, out, &unused);
    scope_release(&nothing.memory);
    scope_release(&temporary);
    return status;
}

static int64_t largest(const float *logits, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

static bool ends(const manifest *m, int64_t id) {
    for (size_t i = 0; i < m->eos_count; i++) {
        if (m->eos[i] == id) return true;
    }
    return false;
}

/* Copy the first image's positions of a row to the pass. */
static carve_status keep_attention(const engine *e, const float *row, int64_t length,
                                   int64_t image_end, pass *out) {
    const size_t tokens = (size_t)image_tokens(e->bundle), taps = e->bundle->tapped_count;
    float *to = out->attention + out->steps++ * taps * tokens;
    for (size_t layer = 0; layer < taps; layer++) {
        const float *from = row + (int64_t)layer * length + image_end - (int64_t)tokens;
        for (size_t i = 0; i < tokens; i++) {
            if (!isfinite(from[i])) {
                return failure(CARVE_RUN_ERROR, "The decoder's attention is not finite. Check the "
                                                "bundle with carve-run info.");
            }
            to[layer * tokens + i] = from[i];
        }
    }
    return carve_ok;
}

/* Go on from `before` until the answer ends; old is the cache before the newest. */
static carve_status decode(scope *owner, const engine *e, const cache *prefix, const float *embeds,
                           int64_t count, int32_t max_new_tokens, cache caches[2], pass *out) {
    const cache *before = prefix;
    float *next = scope_alloc(owner, (size_t)e->bundle->hidden_size, sizeof *next);
    if (!next) return no_memory();
    for (int turn = 0;; turn ^= 1) {
        cache *after = &caches[turn];
        step made;
        scope_release(&after->memory);
        TRY(run_decoder(e, embeds, count, before, after, &made));
        TRY(keep_attention(e, made.row, after->length, prefix->length, out));
        int64_t id = largest(made.logits, e->bundle->vocab_size);
        if (ends(e->bundle, id)) return carve_ok;
        out->ids[out->id_count++] = id;
        if (out->steps == (size_t)max_new_tokens) return carve_ok;
        TRY(embed_ids(e, &id, 1, next));
        embeds = next;
        count = 1;
        before = after;
    }
}

carve_status engine_answer(scope *owner, const engine *e, const cache *prefix, const prompt *p,
                           const char *text, const float *const images[2], int32_t max_new_tokens,
                           pass *out) {
    const size_t per_step = e->bundle->tapped_count * (size_t)image_tokens(e->bundle);
    cache caches[2] = {{{NULL}, NULL, 0}, {{NULL}, NULL, 0}};
    scope temporary = {NULL};
    float *embeds;
    int64_t count;
    *out = (pass){NULL, 0, NULL, 0};
    out->ids = scope_alloc(owner, (size_t)max_new_tokens, sizeof *out->ids);
    out->attention = scope_alloc(owner, (size_t)max_new_tokens * per_step, sizeof *out->attention);
    if (!out->ids || !out->attention) return no_memory();
    carve_status status = embed(&temporary, e, p, e->bundle->prefix, p->count, text, images,
                                &embeds, &count);
    if (status.code == CARVE_OK) {
        status = decode(&temporary, e, prefix, embeds, count, max_new_tokens, caches, out);
    }
    scope_release(&caches[0].memory);
    scope_release(&caches[1].memory);
    scope_release(&temporary);
    return status;
}

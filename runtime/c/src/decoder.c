/* Greedy decoding over a key/value cache. */
#include <math.h>

#include "handles.h"

/* Inputs of the decoder; the caches follow these. */
enum { INPUT_EMBEDS, INPUT_MASK, INPUT_POSITIONS, INPUT_PAST };

/* Positions of a buffer for a question's text, beside what the prompts fix. */
enum { TEXT_POSITIONS = 256 };

typedef struct step {
    const float *logits; /* vocabulary */
    const float *row;    /* tapped layers * row_length, of the last position */
    int64_t row_length;
} step;

/* Begin with no positions: in idle buffers, or with as many zeros as new buffers shall hold. */
static carve_status empty_cache(carve_model *model, int64_t capacity, cache *out) {
    const manifest *m = &model->bundle;
    const int64_t shape[] = {1, m->key_value_heads, capacity, m->head_dim};
    const bool fits = capacity && model->idle.capacity >= capacity;
    cache idle = model->idle;
    model->idle = (cache){.capacity = 0};
    if (fits) {
        *out = idle;
        out->length = 0;
        return carve_ok;
    }
    scope_release(&idle.memory);
    const size_t row = (size_t)(capacity ? capacity : 1) * element_size(m->dtype);
    void *zeros = scope_alloc(&out->memory, (size_t)(m->key_value_heads * m->head_dim), row);
    out->values = scope_alloc(&out->memory, model->cache_count, sizeof *out->values);
    if (!zeros || !out->values) return no_memory();
    out->capacity = capacity;
    out->zeros = true;
    for (size_t i = 0; i < model->cache_count; i++) {
        TRY(tensor_over(&out->memory, &model->ort, m->dtype, zeros, shape, COUNT(shape),
                        &out->values[i]));
    }
    return carve_ok;
}

void cache_release(carve_model *model, cache *used) {
    if (used->capacity > model->idle.capacity) {
        cache smaller = model->idle;
        model->idle = *used;
        *used = smaller;
    }
    scope_release(&used->memory);
    *used = (cache){.capacity = 0};
}

/* Run over `count` embeddings after `before`; `after` owns everything that comes out. The first run
 * makes buffers of zeros, on the device: kernels may multiply what was not written by 0, and it must
 * be finite. Later runs have them as past and as present. */
static carve_status run_decoder(const carve_model *model, const void *embeds, int64_t count,
                                const cache *before, cache *after, step *out) {
    const manifest *m = &model->bundle;
    const runtime *ort = &model->ort;
    const int64_t total = before->length + count;
    const int64_t width = before->capacity ? before->capacity : total;
    const int64_t embeds_shape[] = {1, count, m->hidden_size}, mask_shape[] = {1, width},
                  positions_shape[] = {1, count};
    int64_t logits_shape[] = {1, 1, m->vocab_size};
    int64_t row_shape[] = {1, (int64_t)m->tapped_count, width};
    const size_t caches = model->cache_count;
    const bool in_place = before->capacity && !before->zeros;
    const outputs expected = {model->output_names, OUTPUT_PRESENT + caches, OUTPUT_PRESENT,
                              in_place ? before->values : NULL};
    scope *owner = &after->memory;
    int64_t *mask = scope_alloc(owner, (size_t)width, sizeof *mask);
    int64_t *positions = scope_alloc(owner, (size_t)count, sizeof *positions);
    feed *feeds = scope_alloc(owner, INPUT_PAST + caches, sizeof *feeds);
    OrtValue **values = scope_alloc(owner, OUTPUT_PRESENT + caches, sizeof *values);
    OrtValue *inputs[INPUT_PAST];
    const void *data;
    if (!mask || !positions || !feeds || !values) return no_memory();
    for (int64_t i = 0; i < total; i++) mask[i] = 1;
    for (int64_t i = 0; i < count; i++) positions[i] = before->length + i;
    TRY(tensor_over(owner, ort, m->dtype, embeds, embeds_shape, 3, &inputs[INPUT_EMBEDS]));
    TRY(tensor_over(owner, ort, I64, mask, mask_shape, 2, &inputs[INPUT_MASK]));
    TRY(tensor_over(owner, ort, I64, positions, positions_shape, 2, &inputs[INPUT_POSITIONS]));
    feeds[INPUT_EMBEDS] = (feed){NAME_INPUTS_EMBEDS, inputs[INPUT_EMBEDS]};
    feeds[INPUT_MASK] = (feed){NAME_ATTENTION_MASK, inputs[INPUT_MASK]};
    feeds[INPUT_POSITIONS] = (feed){NAME_POSITION_IDS, inputs[INPUT_POSITIONS]};
    for (size_t i = 0; i < caches; i++) {
        feeds[INPUT_PAST + i] = (feed){model->past_names[i], before->values[i]};
    }
    TRY(session_run(owner, ort, model->sessions[GRAPH_DECODER], NAME_DECODER, feeds,
                    INPUT_PAST + caches, &expected, values));
    TRY(tensor_read(ort, values[OUTPUT_LOGITS], NAME_LOGITS, F32, logits_shape, 3, &data));
    out->logits = data;
    TRY(tensor_read(ort, values[OUTPUT_LAST_ROW], NAME_LAST_ROW, F32, row_shape, 3, &data));
    out->row = data;
    out->row_length = width;
    after->values = values + OUTPUT_PRESENT;
    after->length = total;
    after->capacity = before->capacity;
    return carve_ok;
}

/* Positions of buffers for a prefix and what follows it, 0 where there are none. */
static int64_t buffer_capacity(const carve_model *model, int64_t prefix, int64_t more) {
    const int64_t wanted = prefix + more + TEXT_POSITIONS, most = model->bundle.context_length;
    if (!model->in_place) return 0;
    return wanted < most ? wanted : prefix < most ? most : prefix;
}

/* Run the prompt up to and including the first image, with room for more positions behind it. */
static carve_status prefill_with_room(carve_model *model, const void *features, int64_t more,
                                      cache *out) {
    const void *const images[2] = {features, NULL};
    const manifest *m = &model->bundle;
    scope temporary = {NULL};
    cache nothing = {.capacity = 0};
    void *embeds;
    int64_t length;
    step unused;
    carve_status status =
        embed_prompt(&temporary, model, &m->single, 0, m->prefix, "", images, &embeds, &length);
    if (status.code == CARVE_OK) {
        status = empty_cache(model, buffer_capacity(model, length, more), &nothing);
    }
    if (status.code == CARVE_OK) status = run_decoder(model, embeds, length, &nothing, out, &unused);
    scope_release(&nothing.memory);
    scope_release(&temporary);
    return status;
}

carve_status prefill(carve_model *model, const void *features, cache *out) {
    const manifest *m = &model->bundle;
    const size_t rest = count_fixed(m, &m->pair, m->prefix, m->pair.count);
    return prefill_with_room(model, features, (int64_t)rest + m->defaults.max_new_tokens, out);
}

/* Replace buffers that are too small. The prefix is computed again: of what is on a device ONNX
 * Runtime's C API (21) copies nothing. */
static carve_status make_room(carve_model *model, const void *features, int64_t more,
                              cache *prefix) {
    cache larger = {.capacity = 0};
    if (!prefix->capacity || prefix->length + more <= prefix->capacity) return carve_ok;
    carve_status status = prefill_with_room(model, features, more, &larger);
    if (status.code == CARVE_OK) {
        scope_release(&prefix->memory);
        *prefix = larger;
    } else {
        scope_release(&larger.memory);
    }
    return status;
}

static int64_t largest(const float *logits, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

static bool ends_answer(const manifest *m, int64_t id) {
    for (size_t i = 0; i < m->eos_count; i++) {
        if (m->eos[i] == id) return true;
    }
    return false;
}

/* Copy the first image's positions of a row to the pass. */
static carve_status keep_attention(const manifest *m, const step *current, int64_t image_end,
                                   pass *out) {
    const size_t tokens = (size_t)image_tokens(m), taps = m->tapped_count;
    float *to = out->attention + out->steps++ * taps * tokens;
    for (size_t layer = 0; layer < taps; layer++) {
        const float *from =
            current->row + (int64_t)layer * current->row_length + image_end - (int64_t)tokens;
        for (size_t i = 0; i < tokens; i++) {
            if (!isfinite(from[i])) {
                return failure(CARVE_RUN_ERROR, "The decoder's attention is not finite. Check the "
                                                "bundle with carve-run info --verify.");
            }
            to[layer * tokens + i] = from[i];
        }
    }
    return carve_ok;
}

/* Decode from the prefix until the answer ends; the two caches take turns as old and new. */
static carve_status decode(scope *owner, const carve_model *model, const cache *prefix,
                           const void *embeds, int64_t count, int32_t max_new_tokens,
                           cache caches[2], pass *out) {
    const manifest *m = &model->bundle;
    const cache *before = prefix;
    void *next = scope_alloc(owner, (size_t)m->hidden_size, element_size(m->dtype));
    if (!next) return no_memory();
    for (int turn = 0;; turn ^= 1) {
        cache *after = &caches[turn];
        step current;
        scope_release(&after->memory);
        TRY(run_decoder(model, embeds, count, before, after, &current));
        TRY(keep_attention(m, &current, prefix->length, out));
        int64_t id = largest(current.logits, m->vocab_size);
        if (ends_answer(m, id)) return carve_ok;
        out->ids[out->id_count++] = id;
        if (out->steps == (size_t)max_new_tokens) return carve_ok;
        TRY(embed_ids(model, &id, 1, next));
        embeds = next;
        count = 1;
        before = after;
    }
}

carve_status generate(scope *owner, carve_model *model, cache *prefix, const prompt *p,
                      const char *text, const void *const images[2], int32_t max_new_tokens,
                      pass *out) {
    const manifest *m = &model->bundle;
    const size_t per_step = m->tapped_count * (size_t)image_tokens(m);
    cache caches[2] = {{.capacity = 0}, {.capacity = 0}};
    scope temporary = {NULL};
    void *embeds;
    int64_t count;
    *out = (pass){NULL, 0, NULL, 0};
    out->ids = scope_alloc(owner, (size_t)max_new_tokens, sizeof *out->ids);
    out->attention = scope_alloc(owner, (size_t)max_new_tokens * per_step, sizeof *out->attention);
    if (!out->ids || !out->attention) return no_memory();
    carve_status status = embed_prompt(&temporary, model, p, m->prefix, p->count, text, images,
                                       &embeds, &count);
    if (status.code == CARVE_OK) {
        status = make_room(model, images[0], count + max_new_tokens - 1, prefix);
    }
    if (status.code == CARVE_OK) {
        status = decode(&temporary, model, prefix, embeds, count, max_new_tokens, caches, out);
    }
    scope_release(&caches[0].memory);
    scope_release(&caches[1].memory);
    scope_release(&temporary);
    return status;
}

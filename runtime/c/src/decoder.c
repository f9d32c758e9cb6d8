/* Greedy decoding over a key/value cache. */
#include <math.h>

#include "handles.h"

/* Inputs of the decoder; the caches follow these. */
enum { INPUT_EMBEDS, INPUT_MASK, INPUT_POSITIONS, INPUT_PAST };

typedef struct step {
    const float *logits; /* vocabulary */
    const float *row;    /* tapped layers * length, of the last position */
} step;

static carve_status empty_cache(const carve_model *model, cache *out) {
    const manifest *m = &model->bundle;
    const int64_t shape[] = {1, m->key_value_heads, 0, m->head_dim};
    float *nothing = scope_alloc(&out->memory, 1, sizeof *nothing);
    out->values = scope_alloc(&out->memory, model->cache_count, sizeof *out->values);
    if (!nothing || !out->values) return no_memory();
    for (size_t i = 0; i < model->cache_count; i++) {
        OrtValue *value;
        TRY(tensor_over(&out->memory, &model->ort, F32, nothing, shape, COUNT(shape), &value));
        out->values[i] = value;
    }
    return carve_ok;
}

/* Run over `count` embeddings after `before`; `after` owns everything that comes out. */
static carve_status run_decoder(const carve_model *model, const float *embeds, int64_t count,
                                const cache *before, cache *after, step *out) {
    const manifest *m = &model->bundle;
    const runtime *ort = &model->ort;
    const int64_t total = before->length + count;
    const int64_t embeds_shape[] = {1, count, m->hidden_size}, mask_shape[] = {1, total},
                  positions_shape[] = {1, count};
    int64_t logits_shape[] = {1, 1, m->vocab_size};
    int64_t row_shape[] = {1, (int64_t)m->tapped_count, total};
    const size_t caches = model->cache_count;
    scope *owner = &after->memory;
    int64_t *mask = scope_alloc(owner, (size_t)total, sizeof *mask);
    int64_t *positions = scope_alloc(owner, (size_t)count, sizeof *positions);
    feed *feeds = scope_alloc(owner, INPUT_PAST + caches, sizeof *feeds);
    OrtValue **values = scope_alloc(owner, OUTPUT_PRESENT + caches, sizeof *values);
    OrtValue *inputs[INPUT_PAST];
    const void *data;
    if (!mask || !positions || !feeds || !values) return no_memory();
    for (int64_t i = 0; i < total; i++) mask[i] = 1;
    for (int64_t i = 0; i < count; i++) positions[i] = before->length + i;
    TRY(tensor_over(owner, ort, F32, embeds, embeds_shape, 3, &inputs[INPUT_EMBEDS]));
    TRY(tensor_over(owner, ort, I64, mask, mask_shape, 2, &inputs[INPUT_MASK]));
    TRY(tensor_over(owner, ort, I64, positions, positions_shape, 2, &inputs[INPUT_POSITIONS]));
    feeds[INPUT_EMBEDS] = (feed){NAME_INPUTS_EMBEDS, inputs[INPUT_EMBEDS]};
    feeds[INPUT_MASK] = (feed){NAME_ATTENTION_MASK, inputs[INPUT_MASK]};
    feeds[INPUT_POSITIONS] = (feed){NAME_POSITION_IDS, inputs[INPUT_POSITIONS]};
    for (size_t i = 0; i < caches; i++) {
        feeds[INPUT_PAST + i] = (feed){model->past_names[i], before->values[i]};
    }
    TRY(session_run(owner, ort, model->sessions[GRAPH_DECODER], NAME_DECODER, feeds,
                    INPUT_PAST + caches, model->output_names, values, OUTPUT_PRESENT + caches));
    TRY(tensor_read(ort, values[OUTPUT_LOGITS], NAME_LOGITS, F32, logits_shape, 3, &data));
    out->logits = data;
    TRY(tensor_read(ort, values[OUTPUT_LAST_ROW], NAME_LAST_ROW, F32, row_shape, 3, &data));
    out->row = data;
    after->values = (const OrtValue **)values + OUTPUT_PRESENT;
    after->length = total;
    return carve_ok;
}

carve_status prefill(const carve_model *model, const float *features, cache *out) {
    const float *const images[2] = {features, NULL};
    const manifest *m = &model->bundle;
    scope temporary = {NULL};
    cache nothing = {{NULL}, NULL, 0};
    float *embeds;
    int64_t length;
    step unused;
    carve_status status =
        embed_prompt(&temporary, model, &m->single, 0, m->prefix, "", images, &embeds, &length);
    if (status.code == CARVE_OK) status = empty_cache(model, &nothing);
    if (status.code == CARVE_OK) status = run_decoder(model, embeds, length, &nothing, out, &unused);
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

static bool ends_answer(const manifest *m, int64_t id) {
    for (size_t i = 0; i < m->eos_count; i++) {
        if (m->eos[i] == id) return true;
    }
    return false;
}

/* Copy the first image's positions of a row to the pass. */
static carve_status keep_attention(const manifest *m, const float *row, int64_t length,
                                   int64_t image_end, pass *out) {
    const size_t tokens = (size_t)image_tokens(m), taps = m->tapped_count;
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

/* Decode from the prefix until the answer ends; the two caches take turns as old and new. */
static carve_status decode(scope *owner, const carve_model *model, const cache *prefix,
                           const float *embeds, int64_t count, int32_t max_new_tokens,
                           cache caches[2], pass *out) {
    const manifest *m = &model->bundle;
    const cache *before = prefix;
    float *next = scope_alloc(owner, (size_t)m->hidden_size, sizeof *next);
    if (!next) return no_memory();
    for (int turn = 0;; turn ^= 1) {
        cache *after = &caches[turn];
        step current;
        scope_release(&after->memory);
        TRY(run_decoder(model, embeds, count, before, after, &current));
        TRY(keep_attention(m, current.row, after->length, prefix->length, out));
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

carve_status generate(scope *owner, const carve_model *model, const cache *prefix, const prompt *p,
                      const char *text, const float *const images[2], int32_t max_new_tokens,
                      pass *out) {
    const manifest *m = &model->bundle;
    const size_t per_step = m->tapped_count * (size_t)image_tokens(m);
    cache caches[2] = {{{NULL}, NULL, 0}, {{NULL}, NULL, 0}};
    scope temporary = {NULL};
    float *embeds;
    int64_t count;
    *out = (pass){NULL, 0, NULL, 0};
    out->ids = scope_alloc(owner, (size_t)max_new_tokens, sizeof *out->ids);
    out->attention = scope_alloc(owner, (size_t)max_new_tokens * per_step, sizeof *out->attention);
    if (!out->ids || !out->attention) return no_memory();
    carve_status status = embed_prompt(&temporary, model, p, m->prefix, p->count, text, images,
                                       &embeds, &count);
    if (status.code == CARVE_OK) {
        status = decode(&temporary, model, prefix, embeds, count, max_new_tokens, caches, out);
    }
    scope_release(&caches[0].memory);
    scope_release(&caches[1].memory);
    scope_release(&temporary);
    return status;
}

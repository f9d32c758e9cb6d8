/* From a prompt's segments to embeddings, and whether they fit into the model's context. */
#include <string.h>

#include "handles.h"

/* Replace every {text} of a segment. */
static carve_status fill_in(scope *owner, const char *segment, const char *text, char **out) {
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

/* A segment's ids, NULL for an image, and the number of its tokens. */
static carve_status segment_ids(scope *owner, const carve_model *model, const segment *s,
                                const char *text, const int64_t **ids, size_t *count) {
    *ids = s->ids;
    *count = segment_is_image(s) ? (size_t)image_tokens(&model->bundle) : s->count;
    if (!s->text) return carve_ok;
    char *filled;
    int64_t *encoded;
    TRY(fill_in(owner, s->text, text, &filled));
    TRY(tokenizer_encode(owner, model->text, filled, &encoded, count));
    *ids = encoded;
    return carve_ok;
}

carve_status check_context_budget(const carve_model *model, const prompt *p, const char *text,
                                  int32_t max_new_tokens) {
    scope temporary = {NULL};
    int64_t length = 0, limit = model->bundle.context_length;
    carve_status status = carve_ok;
    for (size_t i = 0; i < p->count && status.code == CARVE_OK; i++) {
        const int64_t *ids;
        size_t count = 0;
        status = segment_ids(&temporary, model, &p->segments[i], text, &ids, &count);
        length += (int64_t)count;
    }
    scope_release(&temporary);
    TRY(status);
    if (length + max_new_tokens - 1 <= limit) return carve_ok;
    return failure(CARVE_PROMPT_ERROR,
                   "The prompt of %lld tokens and %d new tokens need more than the model's %lld "
                   "positions. Shorten the question, or lower max_new_tokens.",
                   (long long)length, (int)max_new_tokens, (long long)limit);
}

size_t count_fixed(const manifest *m, const prompt *p, size_t first, size_t stop) {
    size_t count = 0;
    for (size_t i = first; i < stop; i++) {
        const segment *s = &p->segments[i];
        count += segment_is_image(s) ? (size_t)image_tokens(m) : s->count;
    }
    return count;
}

carve_status embed_ids(const carve_model *model, const int64_t *ids, size_t count, void *out) {
    static const char *const names[] = {NAME_INPUTS_EMBEDS};
    const outputs expected = {names, 1, 1, NULL};
    const ONNXTensorElementDataType dtype = model->bundle.dtype;
    const runtime *ort = &model->ort;
    const int64_t hidden = model->bundle.hidden_size, shape[] = {1, (int64_t)count};
    int64_t embeds_shape[] = {1, (int64_t)count, hidden};
    scope temporary = {NULL};
    OrtValue *input, *output;
    const void *data;
    if (!count) return carve_ok;
    carve_status status = tensor_over(&temporary, ort, I64, ids, shape, COUNT(shape), &input);
    if (status.code == CARVE_OK) {
        const feed ids_feed = {NAME_INPUT_IDS, input};
        status = session_run(&temporary, ort, model->sessions[GRAPH_EMBED], NAME_EMBED_TOKENS,
                             &ids_feed, 1, &expected, &output);
    }
    if (status.code == CARVE_OK) {
        status = tensor_read(ort, output, NAME_INPUTS_EMBEDS, dtype, embeds_shape, 3, &data);
    }
    if (status.code == CARVE_OK) memcpy(out, data, count * (size_t)hidden * element_size(dtype));
    scope_release(&temporary);
    return status;
}

carve_status embed_prompt(scope *owner, const carve_model *model, const prompt *p, size_t first,
                          size_t stop, const char *text, const void *const images[2], void **out,
                          int64_t *length) {
    const size_t row = (size_t)model->bundle.hidden_size * element_size(model->bundle.dtype);
    const int64_t **ids = scope_alloc(owner, stop - first, sizeof *ids);
    size_t *counts = scope_alloc(owner, stop - first, sizeof *counts), total = 0, at = 0;
    if (!ids || !counts) return no_memory();
    for (size_t i = first; i < stop; i++) {
        TRY(segment_ids(owner, model, &p->segments[i], text, &ids[i - first], &counts[i - first]));
        total += counts[i - first];
    }
    unsigned char *to = *out = scope_alloc(owner, total, row);
    if (!to) return no_memory();
    for (size_t i = first; i < stop; at += counts[i - first], i++) {
        const segment *s = &p->segments[i];
        if (segment_is_image(s)) {
            memcpy(to + at * row, images[s->image], counts[i - first] * row);
        } else {
            TRY(embed_ids(model, ids[i - first], counts[i - first], to + at * row));
        }
    }
    *length = (int64_t)total;
    return carve_ok;
}

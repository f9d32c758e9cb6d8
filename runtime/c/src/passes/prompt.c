/* From a prompt's segments to embeddings and positions, and whether they fit into the context. */
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

/* A text's or a literal segment's ids. */
static carve_status segment_ids(scope *owner, const carve_model *model, const segment *s,
                                const char *text, const int64_t **ids, size_t *count) {
    *ids = s->ids;
    *count = s->count;
    if (!s->text) return carve_ok;
    char *filled;
    int64_t *encoded;
    TRY(fill_in(owner, s->text, text, &filled));
    TRY(tokenizer_encode(owner, model->text, filled, &encoded, count));
    *ids = encoded;
    return carve_ok;
}

carve_status check_context(const manifest *m, int64_t prompt_length, int64_t new_tokens) {
    if (prompt_length + new_tokens - 1 <= m->context_length) return carve_ok;
    return failure(CARVE_PROMPT_ERROR,
                   "The prompt of %lld tokens and %lld new tokens need more than the model's %lld "
                   "positions. Shorten the question, lower max_new_tokens, or use a smaller image.",
                   (long long)prompt_length, (long long)new_tokens, (long long)m->context_length);
}

carve_status count_prompt(const carve_model *model, const prompt *p, size_t first, size_t stop,
                          const char *text, int64_t image_tokens, int64_t *count) {
    scope temporary = {NULL};
    carve_status status = carve_ok;
    *count = 0;
    for (size_t i = first; i < stop && status.code == CARVE_OK; i++) {
        const int64_t *ids;
        size_t length = 0;
        if (segment_is_image(&p->segments[i])) {
            *count += image_tokens;
        } else {
            status = segment_ids(&temporary, model, &p->segments[i], text, &ids, &length);
            *count += (int64_t)length;
        }
    }
    scope_release(&temporary);
    return status;
}

/* Embeddings of ids, copied to out (count * hidden, of the manifest's dtype). */
static carve_status embed_ids(const carve_model *model, const int64_t *ids, size_t count,
                              void *out) {
    static const char *const names[] = {NAME_INPUTS_EMBEDS};
    const outputs expected = {names, 1, 1, NULL, 0};
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

/* Consecutive segments of a prompt while they become a chunk. */
typedef struct stretch {
    int64_t *ids;       /* FEATURE where a feature of an image stands */
    int64_t *positions; /* axes * length */
    size_t length;
    int64_t next_position;
} stretch;

/* Append ids whose positions count up. */
static void append_text(const manifest *m, stretch *s, const int64_t *ids, size_t count,
                        size_t at) {
    if (count) memcpy(s->ids + at, ids, count * sizeof *ids);
    for (int64_t axis = 0; axis < m->axes; axis++) {
        int64_t *to = s->positions + (size_t)axis * s->length + at;
        for (size_t i = 0; i < count; i++) to[i] = s->next_position + (int64_t)i;
    }
    s->next_position += (int64_t)count;
}

static void append_image(const manifest *m, stretch *s, const encoded_image *image, size_t at) {
    memcpy(s->ids + at, image->ids, image->length * sizeof *image->ids);
    for (int64_t axis = 0; axis < m->axes; axis++) {
        const int64_t *from = image->positions + (size_t)axis * image->length;
        int64_t *to = s->positions + (size_t)axis * s->length + at;
        for (size_t i = 0; i < image->length; i++) to[i] = s->next_position + from[i];
    }
    s->next_position += image->next_position;
}

/* Put the segments one behind the other. */
static carve_status lay_out(scope *owner, const carve_model *model, const request *r, size_t first,
                            size_t stop, int64_t start, stretch *out) {
    const manifest *m = &model->bundle;
    const int64_t **ids = scope_alloc(owner, stop - first, sizeof *ids);
    size_t *counts = scope_alloc(owner, stop - first, sizeof *counts);
    if (!ids || !counts) return no_memory();
    *out = (stretch){.next_position = start};
    for (size_t i = first; i < stop; i++) {
        const segment *s = &r->prompt->segments[i];
        size_t *count = &counts[i - first];
        if (segment_is_image(s)) {
            *count = r->images[s->image]->length;
        } else {
            TRY(segment_ids(owner, model, s, r->text, &ids[i - first], count));
        }
        out->length += *count;
    }
    out->ids = scope_alloc(owner, out->length, sizeof *out->ids);
    out->positions = scope_rows(owner, (size_t)m->axes, out->length, sizeof *out->positions);
    if (!out->ids || !out->positions) return no_memory();
    for (size_t i = first, at = 0; i < stop; at += counts[i - first], i++) {
        const segment *s = &r->prompt->segments[i];
        if (segment_is_image(s)) {
            append_image(m, out, r->images[s->image], at);
        } else {
            append_text(m, out, ids[i - first], counts[i - first], at);
        }
    }
    return carve_ok;
}

/* Put rows of features, `row` bytes each, where the stretch has room for them: one image's behind
 * the other's. */
static void spread_features(const request *r, size_t first, size_t stop, const stretch *s,
                            const unsigned char *const sources[2], size_t row, unsigned char *to) {
    size_t at = 0;
    for (size_t i = first; i < stop; i++) {
        const segment *shown = &r->prompt->segments[i];
        if (!segment_is_image(shown)) continue;
        const unsigned char *from = sources[shown->image];
        for (size_t left = r->images[shown->image]->feature_count; left; at++) {
            if (s->ids[at] != FEATURE) continue;
            memcpy(to + at * row, from, row);
            from += row;
            left--;
        }
    }
}

/* The images' features for the first layers, zero where none stand. */
static carve_status embed_deepstack(scope *owner, const carve_model *model, const request *r,
                                    size_t first, size_t stop, const stretch *s, chunk *out) {
    const manifest *m = &model->bundle;
    const size_t row = (size_t)m->hidden_size * element_size(m->dtype);
    const int64_t shape[] = {1, m->deepstack, (int64_t)s->length, m->hidden_size};
    unsigned char *all = scope_rows(owner, (size_t)m->deepstack, s->length, row);
    if (!all) return no_memory();
    for (size_t layer = 0; layer < (size_t)m->deepstack; layer++) {
        const unsigned char *sources[2] = {NULL, NULL};
        for (int i = 0; i < 2; i++) {
            const encoded_image *image = r->images[i];
            if (!image) continue;
            sources[i] = (const unsigned char *)image->deepstack + layer * image->feature_count * row;
        }
        spread_features(r, first, stop, s, sources, row, all + layer * s->length * row);
    }
    return tensor_over(owner, &model->ort, m->dtype, all, shape, COUNT(shape), &out->deepstack);
}

/* Embeddings of the literal ids and, in their places, the images' features. */
static carve_status embed_stretch(scope *owner, const carve_model *model, const request *r,
                                  size_t first, size_t stop, const stretch *s, chunk *out) {
    const manifest *m = &model->bundle;
    const size_t row = (size_t)m->hidden_size * element_size(m->dtype);
    const int64_t shape[] = {1, (int64_t)s->length, m->hidden_size};
    const unsigned char *sources[2] = {NULL, NULL};
    int64_t *literal = scope_alloc(owner, s->length, sizeof *literal);
    unsigned char *embedded = scope_alloc(owner, s->length, row);
    unsigned char *all = scope_alloc(owner, s->length, row), *from = embedded;
    size_t count = 0;
    if (!literal || !embedded || !all) return no_memory();
    for (size_t i = 0; i < s->length; i++) {
        if (s->ids[i] != FEATURE) literal[count++] = s->ids[i];
    }
    TRY(embed_ids(model, literal, count, embedded));
    for (size_t i = 0; i < s->length; i++) {
        if (s->ids[i] == FEATURE) continue;
        memcpy(all + i * row, from, row);
        from += row;
    }
    for (int i = 0; i < 2; i++) sources[i] = r->images[i] ? r->images[i]->features : NULL;
    spread_features(r, first, stop, s, sources, row, all);
    TRY(tensor_over(owner, &model->ort, m->dtype, all, shape, COUNT(shape), &out->states));
    return m->deepstack ? embed_deepstack(owner, model, r, first, stop, s, out) : carve_ok;
}

carve_status embed_prompt(scope *owner, const carve_model *model, const request *r, size_t first,
                          size_t stop, int64_t start, chunk *out) {
    stretch s = {NULL, NULL, 0, 0};
    TRY(lay_out(owner, model, r, first, stop, start, &s));
    *out = (chunk){NULL, (int64_t)s.length, s.positions, s.next_position, NULL};
    return embed_stretch(owner, model, r, first, stop, &s, out);
}

carve_status prompt_ids(scope *owner, const carve_model *model, const request *r, int64_t **ids,
                        size_t *count) {
    stretch s;
    TRY(lay_out(owner, model, r, 0, r->prompt->count, 0, &s));
    *ids = s.ids;
    *count = s.length;
    return carve_ok;
}

carve_status embed_token(scope *owner, const carve_model *model, const int64_t *id, int64_t start,
                         chunk *out) {
    segment token = {id, 1, NULL, 0};
    const prompt alone = {&token, 1};
    const request r = {.prompt = &alone, .text = ""};
    return embed_prompt(owner, model, &r, 0, 1, start, out);
}

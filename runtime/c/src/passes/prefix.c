/* The beginning of every prompt about an image: what it puts into the cache depends on the image
 * alone, and all passes continue it. */
#include <string.h>

#include "handles.h"

/* Positions of a buffer for a question's text, beside what the prompts fix. */
enum { TEXT_POSITIONS = 256 };

/* Begin with no positions: in idle buffers, or with as many zeros as new buffers shall hold. */
static carve_status empty_cache(carve_model *model, int64_t capacity, cache *out) {
    const manifest *m = &model->bundle;
    const int64_t shape[] = {1, m->key_value_heads, capacity, m->head_dim};
    const size_t row = (size_t)(capacity ? capacity : 1) * element_size(m->dtype);
    *out = model->idle;
    model->idle = (cache){.capacity = 0};
    if (!capacity || out->capacity < capacity) {
        cache_release(out);
        out->capacity = capacity;
    }
    out->length = out->next_position = 0;
    out->filled = 0;
    for (size_t i = 0; i < m->part_count; i++) {
        part_cache *part = &out->parts[i];
        const size_t count = model->parts[i].cache_count;
        if (part->values) continue;
        void *zeros = scope_rows(&part->memory, (size_t)m->key_value_heads, (size_t)m->head_dim, row);
        part->values = scope_alloc(&part->memory, count, sizeof *part->values);
        if (!zeros || !part->values) return no_memory();
        for (size_t j = 0; j < count; j++) {
            TRY(tensor_over(&part->memory, &model->ort, m->dtype, zeros, shape, COUNT(shape),
                            &part->values[j]));
        }
    }
    return carve_ok;
}

/* Positions of buffers for a prefix and what follows it, 0 where there are none. */
static int64_t buffer_capacity(const carve_model *model, int64_t prefix, int64_t more) {
    const int64_t wanted = prefix + more + TEXT_POSITIONS, most = model->bundle.context_length;
    if (!model->in_place) return 0;
    return wanted < most ? wanted : prefix < most ? most : prefix;
}

/* Run the first part of the decoder over the beginning, into a new cache. */
static carve_status fill(scope *temporary, carve_model *model, const encoded_image *image,
                         int64_t more, cache *start, prefix *out) {
    const manifest *m = &model->bundle;
    const request beginning = {.prompt = &m->single, .text = "", .images = {image, NULL}};
    chunk in;
    step first;
    TRY(embed_prompt(temporary, model, &beginning, 0, m->prefix, 0, &in));
    out->positions = scope_rows(&out->memory, (size_t)m->axes, (size_t)in.count,
                                sizeof *out->positions);
    if (!out->positions) return no_memory();
    memcpy(out->positions, in.positions, (size_t)(m->axes * in.count) * sizeof *out->positions);
    TRY(empty_cache(model, buffer_capacity(model, in.count, more), start));
    TRY(run_decoder(model, &in, start, 0, 1, &out->filled, &first));
    out->states = first.states;
    for (size_t i = 1; i < m->part_count; i++) { /* what has not run keeps its buffers */
        out->filled.parts[i] = start->parts[i];
        start->parts[i] = (part_cache){.values = NULL};
    }
    return carve_ok;
}

static carve_status open_with_room(carve_model *model, const encoded_image *image, int64_t more,
                                   prefix *out) {
    scope temporary = {NULL};
    cache start = {.capacity = 0};
    *out = (prefix){.states = NULL};
    carve_status status = fill(&temporary, model, image, more, &start, out);
    cache_release(&start);
    scope_release(&temporary);
    if (status.code != CARVE_OK) prefix_release(model, out);
    return status;
}

carve_status prefix_open(carve_model *model, const encoded_image *image, prefix *out) {
    const manifest *m = &model->bundle;
    int64_t rest;
    TRY(count_prompt(model, &m->pair, m->prefix, m->pair.count, m->general, (int64_t)image->length,
                     &rest));
    return open_with_room(model, image, rest + m->defaults.max_new_tokens, out);
}

/* Run the upper half over what the lower half has made of the prefix. */
static carve_status complete(carve_model *model, prefix *p) {
    const chunk in = {p->states, p->filled.length, p->positions, p->filled.next_position, NULL};
    cache before = p->filled, after = {.capacity = 0};
    step unused;
    before.length = 0;
    carve_status status = run_decoder(model, &in, &before, 1, model->bundle.part_count, &after,
                                      &unused);
    if (status.code != CARVE_OK) {
        cache_release(&after);
        return status;
    }
    for (size_t i = 1; i < model->bundle.part_count; i++) {
        scope_release(&p->filled.parts[i].memory);
        p->filled.parts[i] = after.parts[i];
    }
    p->filled.filled = after.filled;
    return carve_ok;
}

carve_status prefix_ready(carve_model *model, const encoded_image *image, int64_t more, bool lower,
                          prefix *p) {
    if (p->filled.capacity && p->filled.length + more > p->filled.capacity) {
        /* Computed again: of what is on a device ONNX Runtime's C API (21) copies nothing. */
        prefix larger;
        TRY(open_with_room(model, image, more, &larger));
        cache_release(&p->filled);
        scope_release(&p->memory);
        *p = larger;
    }
    return lower || p->filled.filled == model->bundle.part_count ? carve_ok : complete(model, p);
}

void prefix_release(carve_model *model, prefix *used) {
    scope_release(&used->memory);
    if (used->filled.capacity > model->idle.capacity) {
        cache smaller = model->idle;
        model->idle = used->filled;
        used->filled = smaller;
    }
    cache_release(&used->filled);
    *used = (prefix){.states = NULL};
}

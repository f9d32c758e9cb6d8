/* Runs of the decoder, whole or in halves, over key/value caches. */
#include "handles.h"

enum { MOST_ROW_AXES = 4 }; /* batch, layers, heads, positions */

void cache_release(cache *used) {
    for (size_t i = 0; i < MOST_PARTS; i++) scope_release(&used->parts[i].memory);
    *used = (cache){.capacity = 0};
}

/* Run one part over a chunk after `before`; `after` owns what comes out. The first run into a cache
 * with a capacity makes buffers of zeros, on the device: kernels may multiply what was not written
 * by 0, and it must be finite. Later runs have them as past and as present. */
static carve_status run_part(carve_model *model, size_t index, const chunk *in, OrtValue *states,
                             const feed *shared, size_t shared_count, const cache *before,
                             part_cache *after, step *out) {
    const decoder_part *part = &model->parts[index];
    const part_cache *past = &before->parts[index];
    const manifest *m = &model->bundle;
    const runtime *ort = &model->ort;
    const size_t caches = part->cache_count, count = part->output_count, own = count - caches;
    const bool last = index + 1 == m->part_count, in_place = before->capacity && past->written;
    const outputs expected = {part->output_names, count, last ? own : own - 1,
                              in_place ? past->values : NULL, in_place ? caches : 0};
    int64_t logits_shape[] = {1, 1, m->vocab_size};
    int64_t row_shape[MOST_ROW_AXES] = {1, (int64_t)part->spec->tapped};
    size_t row_axes = 2;
    if (m->row_heads) row_shape[row_axes++] = m->row_heads;
    row_shape[row_axes++] = out->row_length;
    const bool deep = index == 0 && in->deepstack;
    const size_t feed_count = 1 + shared_count + deep + caches;
    feed *feeds = scope_alloc(&after->memory, feed_count, sizeof *feeds), *next = feeds;
    OrtValue **values = scope_alloc(&after->memory, count, sizeof *values);
    const void *data;
    if (!feeds || !values) return no_memory();
    *next++ = (feed){part->spec->input, states};
    for (size_t i = 0; i < shared_count; i++) *next++ = shared[i];
    if (deep) *next++ = (feed){NAME_DEEPSTACK_EMBEDS, in->deepstack};
    for (size_t i = 0; i < caches; i++) *next++ = (feed){part->past_names[i], past->values[i]};
    TRY(session_run(&after->memory, ort, part->session, part->spec->name, feeds, feed_count,
                    &expected, values));
    if (part->spec->tapped) {
        TRY(tensor_read(ort, values[0], NAME_LAST_ROW, F32, row_shape, row_axes, &data));
        out->rows[index] = data;
    }
    out->states = values[own - 1];
    after->values = values + own;
    after->written = true;
    if (!last) return carve_ok;
    TRY(tensor_read(ort, out->states, NAME_LOGITS, F32, logits_shape, 3, &data));
    out->logits = data;
    return carve_ok;
}

carve_status run_decoder(carve_model *model, const chunk *in, const cache *before, size_t first,
                         size_t stop, cache *after, step *out) {
    const manifest *m = &model->bundle;
    const int64_t total = before->length + in->count;
    const int64_t width = before->capacity ? before->capacity : total;
    const int64_t mask_shape[] = {1, width};
    const int64_t positions_shape[] = {m->axes, 1, in->count};
    const bool flat = m->axes == 1; /* then without the axis */
    scope *owner = &after->parts[first].memory;
    int64_t *mask = scope_alloc(owner, (size_t)width, sizeof *mask);
    OrtValue *mask_value, *positions, *states = in->states;
    if (!mask) return no_memory();
    for (int64_t i = 0; i < total; i++) mask[i] = 1;
    TRY(tensor_over(owner, &model->ort, I64, mask, mask_shape, 2, &mask_value));
    TRY(tensor_over(owner, &model->ort, I64, in->positions, positions_shape + flat, 3 - flat,
                    &positions));
    const feed shared[] = {{NAME_ATTENTION_MASK, mask_value}, {NAME_POSITION_IDS, positions}};
    *out = (step){.row_length = width};
    for (size_t i = first; i < stop; i++) {
        TRY(run_part(model, i, in, states, shared, COUNT(shared), before, &after->parts[i], out));
        states = out->states;
        model->work.layer_tokens += in->count * (m->parts[i].stop - m->parts[i].first);
    }
    if (first == 0) model->work.decoder_tokens += in->count;
    after->filled = stop;
    after->length = total;
    after->capacity = before->capacity;
    after->next_position = in->next_position;
    return carve_ok;
}

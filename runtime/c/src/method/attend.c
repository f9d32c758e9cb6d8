/* What a pass attends to, over all that it reads and writes. */
#include <string.h>

#include "handles.h"

/* Move what is there to where rows of `width` positions have room for `steps` steps. */
static carve_status make_room(kept_rows *kept, size_t steps, size_t width) {
    const size_t common = kept->width < width ? kept->width : width;
    float *other = scope_rows(kept->owner, steps * kept->layers, width, sizeof *other);
    if (!other) return no_memory();
    for (size_t row = 0; row < kept->steps * kept->layers; row++) {
        memcpy(other + row * width, kept->rows + row * kept->width, common * sizeof *other);
    }
    kept->rows = other;
    kept->room = steps;
    kept->width = width;
    return carve_ok;
}

carve_status keep_row(void *context, const carve_model *model, const step *now, int64_t length) {
    kept_rows *kept = context;
    const size_t read = (size_t)length, heads = heads_of_rows(model);
    if (kept->steps == kept->room) {
        /* Each step reads a position more than the one before. */
        const size_t room = kept->room ? 2 * kept->room : 1;
        TRY(make_room(kept, room, read + room - 1 - kept->steps));
    }
    float *to = kept->rows + kept->steps++ * kept->layers * kept->width;
    for (size_t part = 0; part < model->bundle.part_count; part++) {
        const float *from = now->rows[part];
        for (size_t row = 0; from && row < model->parts[part].spec->tapped; row++) {
            for (size_t i = 0; i < read; i++) {
                to[i] = mean_over_heads(from + i, heads, now->row_length);
            }
            from += (int64_t)heads * now->row_length;
            to += kept->width;
        }
    }
    return carve_ok;
}

/* What was read: the prompt, and what was decided but for the last. */
static carve_status read_ids(scope *temporary, const carve_model *model, const request *r,
                             const int64_t *decided, carve_attention *out) {
    carve_attention_reading *reading = &out->reading;
    int64_t *asked, *ids;
    size_t count;
    TRY(prompt_ids(temporary, model, r, &asked, &count));
    reading->positions = count + reading->step_count - 1;
    reading->ids = ids = scope_alloc(&out->memory, reading->positions, sizeof *ids);
    if (!ids) return no_memory();
    memcpy(ids, asked, count * sizeof *ids);
    memcpy(ids + count, decided, (reading->step_count - 1) * sizeof *ids);
    return carve_ok;
}

/* Where the map lies among the positions, and in the image. */
static carve_status read_map(const carve_view *view, carve_attention *out) {
    const encoded_image *image = &view->encoded;
    const int64_t start = view->prefix.filled.length - (int64_t)image->length; /* it ends there */
    carve_attention_reading *reading = &out->reading;
    int64_t *tokens = scope_alloc(&out->memory, image->map_count, sizeof *tokens);
    if (!tokens) return no_memory();
    for (size_t i = 0; i < image->map_count; i++) tokens[i] = start + image->map[i];
    reading->map_tokens = tokens;
    reading->grid_rows = (int32_t)image->grid[0];
    reading->grid_columns = (int32_t)image->grid[1];
    memcpy(reading->window, image->window, sizeof reading->window);
    reading->width = (int32_t)view->image.width;
    reading->height = (int32_t)view->image.height;
    return carve_ok;
}

/* Each row's share on image tokens, and its entropy over the map. */
static carve_status read_figures(scope *temporary, size_t map_count, carve_attention *out) {
    carve_attention_reading *reading = &out->reading;
    const size_t count = reading->step_count * reading->layer_count;
    double *mass = scope_alloc(&out->memory, count, sizeof *mass);
    double *entropy = scope_alloc(&out->memory, count, sizeof *entropy);
    float *map = scope_alloc(temporary, map_count, sizeof *map);
    if (!mass || !entropy || !map) return no_memory();
    for (size_t row = 0; row < count; row++) {
        const float *shares = reading->rows + row * reading->positions;
        for (size_t i = 0; i < reading->positions; i++) {
            if (reading->ids[i] == CARVE_IMAGE_TOKEN) mass[row] += shares[i];
        }
        for (size_t i = 0; i < map_count; i++) map[i] = shares[reading->map_tokens[i]];
        entropy[row] = attention_entropy(map, 1, map_count);
    }
    reading->mass = mass;
    reading->entropy = entropy;
    return carve_ok;
}

carve_status read_rows(scope *temporary, const carve_view *view, const request *r,
                       const kept_rows *kept, const int64_t *decided, size_t answer_count,
                       carve_attention *out) {
    const carve_model *model = view->model;
    carve_attention_reading *reading = &out->reading;
    kept_rows exact = *kept;
    exact.owner = &out->memory;
    reading->step_count = kept->steps;
    reading->layer_count = kept->layers;
    int32_t *layers = scope_alloc(&out->memory, kept->layers, sizeof *layers);
    if (!layers) return no_memory();
    memcpy(layers, model->bundle.tapped, kept->layers * sizeof *layers);
    reading->layers = layers;
    TRY(read_ids(temporary, model, r, decided, out));
    TRY(make_room(&exact, exact.steps, reading->positions));
    reading->rows = exact.rows;
    TRY(read_map(view, out));
    TRY(read_figures(temporary, view->encoded.map_count, out));
    TRY(tokenizer_words(&out->memory, model->text, reading->ids, reading->positions,
                        &reading->tokens));
    TRY(tokenizer_words(&out->memory, model->text, decided, reading->step_count, &reading->words));
    return tokenizer_decode(&out->memory, model->text, decided, answer_count, &reading->answer);
}

/* From an image's bytes to the features of its tokens, and how it stands in a prompt. */
#include <string.h>

#include "handles.h"

/* What preprocess.onnx gives beside the vision encoder's inputs. */
enum { IDS, POSITIONS, NEXT_POSITION, MAP, GRID, WINDOW, FACTS };
static const char *const fact_names[FACTS] = {NAME_IMAGE_IDS,  NAME_IMAGE_POSITIONS,
                                              NAME_NEXT_POSITION, NAME_MAP_TOKENS,
                                              NAME_GRID,       NAME_WINDOW};

/* Copy numbers out of the graph's output, which is released soon. */
static carve_status keep_ints(scope *owner, const int64_t *from, size_t count, const int64_t **out) {
    int64_t *copy = scope_alloc(owner, count, sizeof *copy);
    if (!copy) return no_memory();
    memcpy(copy, from, count * sizeof *copy);
    *out = copy;
    return carve_ok;
}

static carve_status inconsistent(void) {
    return failure(CARVE_BUNDLE_ERROR, "%s contradicts itself or the manifest. Copy the bundle "
                                       "again, or export it again.",
                   NAME_PREPROCESS);
}

/* Read how the image stands in a prompt. */
static carve_status read_facts(scope *owner, const carve_model *model, OrtValue *const *values,
                               encoded_image *out) {
    const manifest *m = &model->bundle;
    const void *data[FACTS];
    int64_t shapes[FACTS][2] = {{-1}, {m->axes, -1}, {0}, {-1}, {2}, {COUNT(out->window)}};
    static const size_t ranks[FACTS] = {1, 2, 0, 1, 1, 1};
    for (int i = 0; i < FACTS; i++) {
        TRY(tensor_read(&model->ort, values[i], fact_names[i], i == WINDOW ? F64 : I64, shapes[i],
                        ranks[i], &data[i]));
    }
    const size_t length = (size_t)shapes[IDS][0], map = (size_t)shapes[MAP][0];
    TRY(keep_ints(owner, data[IDS], length, &out->ids));
    TRY(keep_ints(owner, data[POSITIONS], length * (size_t)m->axes, &out->positions));
    TRY(keep_ints(owner, data[MAP], map, &out->map));
    memcpy(out->grid, data[GRID], sizeof out->grid);
    memcpy(out->window, data[WINDOW], sizeof out->window);
    out->length = length;
    out->map_count = map;
    out->next_position = *(const int64_t *)data[NEXT_POSITION];
    bool right = shapes[POSITIONS][1] == shapes[IDS][0] && map && out->grid[0] > 0 &&
                 out->grid[1] > 0 && out->grid[0] <= INT32_MAX && out->grid[1] <= INT32_MAX &&
                 (size_t)out->grid[0] * (size_t)out->grid[1] == map && out->next_position >= 0 &&
                 out->next_position <= shapes[IDS][0];
    for (size_t i = 0; i < length * (size_t)m->axes; i++) {
        right = right && out->positions[i] >= 0 && out->positions[i] < shapes[IDS][0];
    }
    for (size_t i = 0; i < length; i++) {
        right = right && out->ids[i] >= FEATURE && out->ids[i] < m->vocab_size;
        out->feature_count += out->ids[i] == FEATURE;
    }
    for (size_t i = 0; i < map; i++) {
        right = right && out->map[i] >= 0 && out->map[i] < shapes[IDS][0];
    }
    return right ? carve_ok : inconsistent();
}

/* Run the vision encoder; its outputs belong to the owner. */
static carve_status read_features(scope *owner, carve_model *model, const feed *feeds,
                                  encoded_image *out) {
    static const char *const names[] = {NAME_IMAGE_FEATURES, NAME_DEEPSTACK_FEATURES};
    const manifest *m = &model->bundle;
    const size_t count = m->deepstack ? 2 : 1;
    const outputs seen = {names, count, count, NULL, 0};
    int64_t shape[] = {-1, -1, m->hidden_size};
    int64_t deepstack[] = {1, m->deepstack, (int64_t)out->feature_count, m->hidden_size};
    OrtValue *values[COUNT(names)];
    TRY(session_run(owner, &model->ort, model->sessions[GRAPH_VISION], NAME_VISION_ENCODER, feeds,
                    m->vision_input_count, &seen, values));
    model->work.vision_runs++;
    TRY(tensor_read(&model->ort, values[0], names[0], m->dtype, shape, COUNT(shape),
                    &out->features));
    if ((size_t)shape[0] * (size_t)shape[1] != out->feature_count) return inconsistent();
    if (count == 1) return carve_ok;
    return tensor_read(&model->ort, values[1], names[1], m->dtype, deepstack, COUNT(deepstack),
                       &out->deepstack);
}

/* Run preprocess.onnx on a picture; what comes out is the owner's. */
static carve_status preprocess(scope *owner, const carve_model *model, const picture *image,
                               const int64_t *max_pixels, const char *const *names, size_t count,
                               OrtValue **values) {
    const runtime *ort = &model->ort;
    const outputs expected = {names, count, count, NULL, 0};
    const int64_t shape[] = {image->height, image->width, 3};
    OrtValue *pixels, *budget;
    TRY(tensor_over(owner, ort, U8, image->pixels, shape, COUNT(shape), &pixels));
    TRY(tensor_over(owner, ort, I64, max_pixels, NULL, 0, &budget));
    const feed feeds[] = {{NAME_IMAGE, pixels}, {NAME_MAX_PIXELS, budget}};
    return session_run(owner, ort, model->sessions[GRAPH_PREPROCESS], NAME_PREPROCESS, feeds,
                       COUNT(feeds), &expected, values);
}

carve_status see_image(scope *owner, const carve_model *model, const picture *image,
                       const int64_t *max_pixels, sight *out) {
    static const char *const name[] = {NAME_PIXEL_VALUES};
    const int64_t side = model->bundle.patch_side;
    int64_t shape[] = {-1, -1, -1, -1};
    OrtValue *value;
    const void *values;
    TRY(preprocess(owner, model, image, max_pixels, name, 1, &value));
    TRY(tensor_read(&model->ort, value, name[0], F32, shape, side ? 2 : COUNT(shape), &values));
    const sight seen = side ? (sight){values, shape[0], shape[1] / (side * side), side, side}
                            : (sight){values, shape[0], shape[1], shape[2], shape[3]};
    if (side && shape[1] % (side * side)) return inconsistent();
    if (!seen.planes || seen.planes % COLORS) return inconsistent();
    *out = seen;
    return carve_ok;
}

/* Ask the bundle once for the smallest budget that it accepts, about a picture of 2 x 2 pixels. */
static carve_status find_least_pixels(carve_model *model) {
    static const char *const name[] = {NAME_LEAST_PIXELS};
    static const uint8_t pixels[2 * 2 * 3];
    const picture tiny = {pixels, 2, 2};
    const int64_t unlimited = 0;
    scope temporary = {NULL};
    OrtValue *value;
    const void *data;
    if (model->knows_least_pixels) return carve_ok;
    carve_status status = preprocess(&temporary, model, &tiny, &unlimited, name, 1, &value);
    if (status.code == CARVE_OK) {
        status = tensor_read(&model->ort, value, name[0], I64, NULL, 0, &data);
    }
    if (status.code == CARVE_OK) {
        model->least_pixels = *(const int64_t *)data;
        model->knows_least_pixels = true;
    }
    scope_release(&temporary);
    return status;
}

carve_status check_pixels(carve_model *model, int64_t max_pixels) {
    if (!max_pixels) return carve_ok;
    TRY(find_least_pixels(model));
    if (!model->least_pixels) {
        return failure(CARVE_SETTINGS_ERROR,
                       "At most %lld pixels were asked for, and this model sees every image at one "
                       "size. Set no limit of pixels, or use a model that sees several sizes.",
                       (long long)max_pixels);
    }
    if (max_pixels >= model->least_pixels) return carve_ok;
    return failure(CARVE_SETTINGS_ERROR,
                   "At most %lld pixels were asked for, and the smallest image of this model has "
                   "%lld. Allow at least that many.",
                   (long long)max_pixels, (long long)model->least_pixels);
}

static carve_status encode(scope *owner, scope *temporary, carve_model *model, const picture *image,
                           int64_t max_pixels, int64_t others, int64_t new_tokens,
                           encoded_image *out) {
    const manifest *m = &model->bundle;
    const size_t inputs = m->vision_input_count, count = inputs + FACTS;
    const char **names = scope_alloc(temporary, count, sizeof *names);
    OrtValue **values = scope_alloc(temporary, count, sizeof *values);
    feed *vision = scope_alloc(temporary, inputs, sizeof *vision);
    if (!names || !values || !vision) return no_memory();
    for (size_t i = 0; i < count; i++) {
        names[i] = i < inputs ? m->vision_inputs[i] : fact_names[i - inputs];
    }
    TRY(preprocess(temporary, model, image, &max_pixels, names, count, values));
    TRY(read_facts(owner, model, values + inputs, out));
    TRY(check_context(m, (int64_t)out->length + others, new_tokens));
    for (size_t i = 0; i < inputs; i++) vision[i] = (feed){names[i], values[i]};
    return read_features(owner, model, vision, out);
}

carve_status encode_image(scope *owner, carve_model *model, const picture *image,
                          int64_t max_pixels, int64_t others, int64_t new_tokens,
                          encoded_image *out) {
    scope temporary = {NULL};
    *out = (encoded_image){.features = NULL};
    carve_status status =
        encode(owner, &temporary, model, image, max_pixels, others, new_tokens, out);
    scope_release(&temporary);
    return status;
}

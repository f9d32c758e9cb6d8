/* From an image's bytes to the features of its tokens. */
#include <string.h>

#include "handles.h"

carve_status encode_image(scope *owner, const carve_model *model, const uint8_t *pixels,
                          int64_t height, int64_t width, encoded_image *out) {
    enum { PIXEL_VALUES, WINDOW, OUTPUTS };
    static const char *const names[OUTPUTS] = {NAME_PIXEL_VALUES, NAME_WINDOW};
    static const char *const features[] = {NAME_IMAGE_FEATURES};
    const outputs prepared = {names, OUTPUTS, OUTPUTS, NULL}, seen = {features, 1, 1, NULL};
    const runtime *ort = &model->ort;
    const int64_t shape[] = {height, width, 3};
    int64_t window_shape[] = {COUNT(out->window)};
    int64_t features_shape[] = {1, image_tokens(&model->bundle), model->bundle.hidden_size};
    const int64_t own_limit = 0;
    OrtValue *image, *max_pixels, *preprocessed[OUTPUTS], *encoded;
    const void *data;
    TRY(tensor_over(owner, ort, U8, pixels, shape, COUNT(shape), &image));
    TRY(tensor_over(owner, ort, I64, &own_limit, NULL, 0, &max_pixels));
    const feed feeds[] = {{NAME_IMAGE, image}, {NAME_MAX_PIXELS, max_pixels}};
    TRY(session_run(owner, ort, model->sessions[GRAPH_PREPROCESS], NAME_PREPROCESS, feeds,
                    COUNT(feeds), &prepared, preprocessed));
    TRY(tensor_read(ort, preprocessed[WINDOW], NAME_WINDOW, F64, window_shape, 1, &data));
    memcpy(out->window, data, sizeof out->window);
    const feed pixel_feed = {NAME_PIXEL_VALUES, preprocessed[PIXEL_VALUES]};
    TRY(session_run(owner, ort, model->sessions[GRAPH_VISION], NAME_VISION_ENCODER, &pixel_feed, 1,
                    &seen, &encoded));
    TRY(tensor_read(ort, encoded, NAME_IMAGE_FEATURES, model->bundle.dtype, features_shape, 3,
                    &data));
    out->features = data;
    return carve_ok;
}

/* The public calls: check what comes in, hand out what comes out. */
#include <stdlib.h>
#include <string.h>

#include "handles.h"

enum { SHORTEST_SIDE = 2, LONGEST_SIDE = 1 << 20 };

/* ---- models ---- */

static void release_user(carve_model *model) {
    if (--model->users > 0) return;
    scope_release(&model->idle.memory);
    scope_release(&model->memory);
    free(model);
}

carve_status carve_open(const char *folder, const carve_open_options *options,
                        carve_model **model) {
    carve_open_options defaults = {sizeof defaults, NULL, 0, 0, 0, NULL};
    if (!model) return missing("The model's address");
    *model = NULL;
    if (!folder) return missing("The folder");
    if (!options) options = &defaults;
    TRY(check_struct_size("carve_open_options", options->struct_size, sizeof *options));
    if (options->threads < 0 || options->device < 0 || options->sizes_only < 0 ||
        options->sizes_only > 1) {
        return failure(CARVE_SETTINGS_ERROR,
                       "threads is %d, device is %d, sizes_only is %d. Give threads and device of "
                       "at least 0, and sizes_only of 0 or 1.",
                       (int)options->threads, (int)options->device, (int)options->sizes_only);
    }
    carve_model *opened = calloc(1, sizeof *opened);
    if (!opened) return no_memory();
    opened->users = 1;
    carve_status status = model_open(opened, folder, options);
    if (status.code == CARVE_OK) {
        *model = opened;
    } else {
        release_user(opened);
    }
    return status;
}

void carve_model_free(carve_model *model) {
    if (model) release_user(model);
}

carve_status carve_defaults(const carve_model *model, carve_ask_options *options) {
    if (!model) return missing("The model");
    if (!options) return missing("The options' address");
    TRY(check_struct_size("carve_ask_options", options->struct_size, sizeof *options));
    *options = model->bundle.defaults;
    return carve_ok;
}

/* ---- views ---- */

static carve_status check_image(const manifest *m, const carve_image *image) {
    if (!image) return missing("The image");
    if (!image->pixels) return missing("image->pixels");
    int32_t shorter = image->width < image->height ? image->width : image->height;
    int32_t longer = image->width < image->height ? image->height : image->width;
    if (shorter < SHORTEST_SIDE || longer > LONGEST_SIDE) {
        return failure(CARVE_IMAGE_ERROR, "The image is %d x %d pixels. Give sides of %d to %d.",
                       (int)image->width, (int)image->height, SHORTEST_SIDE, LONGEST_SIDE);
    }
    if (longer / (double)shorter > m->max_aspect_ratio) {
        return failure(CARVE_IMAGE_ERROR,
                       "The image's sides, %d x %d pixels, have a ratio above %g. Crop the image.",
                       (int)image->width, (int)image->height, m->max_aspect_ratio);
    }
    if (image->row_bytes && image->row_bytes < 3 * (size_t)image->width) {
        return failure(CARVE_IMAGE_ERROR,
                       "row_bytes is %zu, but a row has %zu bytes. Give 0, or at least that many.",
                       image->row_bytes, 3 * (size_t)image->width);
    }
    return carve_ok;
}

static carve_status view_open(carve_view *view, const carve_image *image) {
    size_t row = 3 * (size_t)image->width, stride = image->row_bytes ? image->row_bytes : row;
    view->height = image->height;
    view->width = image->width;
    view->pixels = scope_alloc(&view->memory, (size_t)image->height, row);
    if (!view->pixels) return no_memory();
    for (size_t y = 0; y < (size_t)image->height; y++) {
        memcpy(view->pixels + y * row, image->pixels + y * stride, row);
    }
    TRY(encode_image(&view->memory, view->model, view->pixels, view->height, view->width,
                     &view->encoded));
    return prefill(view->model, view->encoded.features, &view->prefix);
}

carve_status carve_look(carve_model *model, const carve_image *image, carve_view **view) {
    if (!view) return missing("The view's address");
    *view = NULL;
    if (!model) return missing("The model");
    TRY(check_image(&model->bundle, image));
    carve_view *opened = calloc(1, sizeof *opened);
    if (!opened) return no_memory();
    opened->model = model;
    model->users++;
    carve_status status = view_open(opened, image);
    if (status.code == CARVE_OK) {
        *view = opened;
    } else {
        carve_view_free(opened);
    }
    return status;
}

void carve_view_free(carve_view *view) {
    if (!view) return;
    scope_release(&view->general_memory);
    cache_release(view->model, &view->prefix);
    scope_release(&view->memory);
    release_user(view->model);
    free(view);
}

/* ---- questions ---- */

/* Hand a finished result over, or free it. */
static carve_status deliver(carve_status status, carve_result *answered, carve_result **result) {
    if (status.code == CARVE_OK) {
        *result = answered;
    } else {
        carve_result_free(answered);
    }
    return status;
}

carve_status carve_ask(carve_view *view, const char *question, const carve_ask_options *options,
                       carve_result **result) {
    if (!result) return missing("The result's address");
    *result = NULL;
    if (!view) return missing("The view");
    if (!options) options = &view->model->bundle.defaults;
    TRY(settings_check(&view->model->bundle, options));
    carve_result *answered = calloc(1, sizeof *answered);
    if (!answered) return no_memory();
    scope temporary = {NULL};
    carve_status status = method_ask(view, &temporary, question, options, answered);
    scope_release(&temporary);
    return deliver(status, answered, result);
}

carve_status carve_plain(carve_view *view, const char *question, int32_t max_new_tokens,
                         carve_result **result) {
    if (!result) return missing("The result's address");
    *result = NULL;
    if (!view) return missing("The view");
    if (max_new_tokens < 0) {
        return failure(CARVE_SETTINGS_ERROR, "max_new_tokens is %d. Give at least 1, or 0 for the "
                                             "bundle's default.",
                       (int)max_new_tokens);
    }
    if (!max_new_tokens) max_new_tokens = view->model->bundle.defaults.max_new_tokens;
    carve_result *answered = calloc(1, sizeof *answered);
    if (!answered) return no_memory();
    scope temporary = {NULL};
    carve_status status = method_plain(view, &temporary, question, max_new_tokens, answered);
    scope_release(&temporary);
    return deliver(status, answered, result);
}

carve_status carve_read(const carve_result *result, carve_reading *reading) {
    if (!result) return missing("The result");
    if (!reading) return missing("The reading's address");
    TRY(check_struct_size("carve_reading", reading->struct_size, sizeof *reading));
    *reading = result->reading;
    reading->struct_size = sizeof *reading;
    return carve_ok;
}

void carve_result_free(carve_result *result) {
    if (!result) return;
    scope_release(&result->memory);
    free(result);
}

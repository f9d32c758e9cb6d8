/* The public calls: check what comes in, hand out what comes out. */
#include <stdlib.h>
#include <string.h>

#include "first_versions.h"
#include "handles.h"

enum { LONGEST_SIDE = 1 << 20 };

/* ---- models ---- */

static void release_user(carve_model *model) {
    if (--model->users > 0) return;
    cache_release(&model->idle);
    scope_release(&model->memory);
    free(model);
}

carve_status carve_open(const char *folder, const carve_open_options *options,
                        carve_model **model) {
    carve_open_options o = {sizeof o, NULL, 0, 0, 0, NULL};
    if (!model) return missing("The model's address");
    *model = NULL;
    if (!folder) return missing("The folder");
    if (options) TRY(struct_take("carve_open_options", &o, sizeof o, options, sizeof o));
    if (o.threads < 0 || o.device < 0 || o.sizes_only < 0 || o.sizes_only > 1) {
        return failure(CARVE_SETTINGS_ERROR,
                       "threads is %d, device is %d, sizes_only is %d. Give threads and device of "
                       "at least 0, and sizes_only of 0 or 1.",
                       (int)o.threads, (int)o.device, (int)o.sizes_only);
    }
    carve_model *opened = calloc(1, sizeof *opened);
    if (!opened) return no_memory();
    opened->users = 1;
    carve_status status = model_open(opened, folder, &o);
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
    carve_ask_options defaults = model->bundle.defaults;
    defaults.scout_pixels = 0; /* what the view has: the bundle's budget was carve_look's */
    return struct_give("carve_ask_options", &defaults, sizeof *options, options,
                       FIRST_ASK_OPTIONS);
}

carve_status carve_set_variant(carve_ask_options *options, carve_variant variant) {
    carve_ask_options o;
    if (!options) return missing("The options' address");
    TRY(struct_take("carve_ask_options", &o, sizeof o, options, FIRST_ASK_OPTIONS));
    TRY(settings_vary(&o, (int)variant));
    options->steps = o.steps;
    options->strategy = o.strategy;
    return carve_ok;
}

carve_status carve_cancel(carve_model *model, int32_t cancelled) {
    if (!model) return missing("The model");
    if (cancelled < 0 || cancelled > 1) {
        return failure(CARVE_INVALID_ARGUMENT, "cancelled is %d. Give 0 or 1.", (int)cancelled);
    }
    return runtime_cancel(&model->ort, cancelled == 1);
}

/* ---- views ---- */

static carve_status check_image(const manifest *m, const carve_image *image) {
    if (!image) return missing("The image");
    if (!image->pixels) return missing("image->pixels");
    int32_t shorter = image->width < image->height ? image->width : image->height;
    int32_t longer = image->width < image->height ? image->height : image->width;
    if (shorter < MIN_SIDE || longer > LONGEST_SIDE) {
        return failure(CARVE_IMAGE_ERROR, "The image is %d x %d pixels. Give sides of %d to %d.",
                       (int)image->width, (int)image->height, MIN_SIDE, LONGEST_SIDE);
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

/* Copy the pixels, row by row. */
static carve_status keep_pixels(scope *owner, const carve_image *image, picture *out) {
    size_t row = 3 * (size_t)image->width, stride = image->row_bytes ? image->row_bytes : row;
    uint8_t *pixels = scope_alloc(owner, (size_t)image->height, row);
    if (!pixels) return no_memory();
    for (size_t y = 0; y < (size_t)image->height; y++) {
        memcpy(pixels + y * row, image->pixels + y * stride, row);
    }
    *out = (picture){pixels, image->height, image->width};
    return carve_ok;
}

void note_work(carve_view *view, const counts *before) {
    const counts *now = &view->model->work;
    view->unread.vision_runs += now->vision_runs - before->vision_runs;
    view->unread.decoder_tokens += now->decoder_tokens - before->decoder_tokens;
    view->unread.layer_tokens += now->layer_tokens - before->layer_tokens;
}

static carve_status view_open(carve_view *view, const carve_image *image) {
    carve_model *model = view->model;
    const manifest *m = &model->bundle;
    int64_t others;
    TRY(keep_pixels(&view->memory, image, &view->image));
    TRY(count_prompt(model, &m->single, 0, m->prefix, "", 0, &others));
    TRY(encode_image(&view->memory, model, &view->image, view->scout_pixels, others, 1,
                     &view->encoded));
    return prefix_open(model, &view->encoded, &view->prefix);
}

carve_status carve_look_with(carve_model *model, const carve_image *image,
                             const carve_look_options *options, carve_view **view) {
    carve_look_options o = {sizeof o, 0};
    if (!view) return missing("The view's address");
    *view = NULL;
    if (!model) return missing("The model");
    if (options) TRY(struct_take("carve_look_options", &o, sizeof o, options, sizeof o));
    if (o.scout_pixels < 0) {
        return failure(CARVE_SETTINGS_ERROR, "scout_pixels is %lld. Give at least 1, or 0 for the "
                                             "bundle's default.",
                       (long long)o.scout_pixels);
    }
    if (!o.scout_pixels) o.scout_pixels = model->bundle.defaults.scout_pixels;
    TRY(check_image(&model->bundle, image));
    TRY(check_pixels(model, o.scout_pixels));
    carve_view *opened = calloc(1, sizeof *opened);
    if (!opened) return no_memory();
    const counts before = model->work;
    opened->model = model;
    opened->scout_pixels = o.scout_pixels;
    model->users++;
    carve_status status = view_open(opened, image);
    note_work(opened, &before);
    if (status.code == CARVE_OK) {
        *view = opened;
    } else {
        carve_view_free(opened);
    }
    return status;
}

carve_status carve_look(carve_model *model, const carve_image *image, carve_view **view) {
    return carve_look_with(model, image, NULL, view);
}

carve_status carve_change(carve_view *view, const carve_image *image, double *change) {
    scope temporary = {NULL};
    picture other;
    if (!change) return missing("The change's address");
    *change = 0;
    if (!view) return missing("The view");
    TRY(check_image(&view->model->bundle, image));
    carve_status status = keep_pixels(&temporary, image, &other);
    if (status.code == CARVE_OK) status = measure_change(view, &other, change);
    scope_release(&temporary);
    return status;
}

void carve_view_free(carve_view *view) {
    if (!view) return;
    scope_release(&view->general_memory);
    prefix_release(view->model, &view->prefix);
    scope_release(&view->memory);
    release_user(view->model);
    free(view);
}

/* ---- questions ---- */

/* Hand a finished result over, with the work since `before`, or free it. */
static carve_status deliver(carve_view *view, const counts *before, carve_status status,
                            carve_result *answered, carve_result **result) {
    carve_reading *r = &answered->reading;
    note_work(view, before);
    if (status.code != CARVE_OK) {
        carve_result_free(answered);
        return status;
    }
    r->vision_runs = view->unread.vision_runs;
    r->decoder_tokens = view->unread.decoder_tokens;
    r->layer_tokens = view->unread.layer_tokens;
    view->unread = (counts){0, 0, 0};
    *result = answered;
    return status;
}

/* The settings in force: the bundle's, and the caller's over them. */
static carve_status settings_of(const carve_view *view, const carve_ask_options *options,
                                carve_ask_options *o) {
    const manifest *m = &view->model->bundle;
    *o = m->defaults;
    o->scout_pixels = view->scout_pixels;
    if (options) {
        TRY(struct_take("carve_ask_options", o, sizeof *o, options, FIRST_ASK_OPTIONS));
    }
    TRY(settings_check(m, o));
    if (o->method == CARVE_METHOD_QUESTION) o->contrast = CARVE_CONTRAST_OFF;
    if (o->scout_pixels && o->scout_pixels != view->scout_pixels) {
        return failure(CARVE_SETTINGS_ERROR,
                       "scout_pixels is %lld, the image was looked at with %lld. Look at it with "
                       "what the questions need, or give 0.",
                       (long long)o->scout_pixels, (long long)view->scout_pixels);
    }
    return check_pixels(view->model, o->final_pixels);
}

carve_status carve_ask(carve_view *view, const char *question, const carve_ask_options *options,
                       carve_result **result) {
    carve_ask_options o;
    if (!result) return missing("The result's address");
    *result = NULL;
    if (!view) return missing("The view");
    TRY(settings_of(view, options, &o));
    carve_result *answered = calloc(1, sizeof *answered);
    if (!answered) return no_memory();
    const counts before = view->model->work;
    scope temporary = {NULL};
    carve_status status = method_ask(view, &temporary, question, &o, answered);
    scope_release(&temporary);
    return deliver(view, &before, status, answered, result);
}

carve_status carve_plain_with(carve_view *view, const char *question,
                              const carve_plain_options *options, carve_result **result) {
    carve_plain_options o = {sizeof o, 0, NULL, NULL, NULL};
    picture refined;
    if (!result) return missing("The result's address");
    *result = NULL;
    if (!view) return missing("The view");
    if (options) TRY(struct_take("carve_plain_options", &o, sizeof o, options, sizeof o));
    if (o.max_new_tokens < 0) {
        return failure(CARVE_SETTINGS_ERROR, "max_new_tokens is %d. Give at least 1, or 0 for the "
                                             "bundle's default.",
                       (int)o.max_new_tokens);
    }
    if (!o.max_new_tokens) o.max_new_tokens = view->model->bundle.defaults.max_new_tokens;
    if (o.refined) TRY(check_image(&view->model->bundle, o.refined));
    carve_result *answered = calloc(1, sizeof *answered);
    if (!answered) return no_memory();
    const counts before = view->model->work;
    scope temporary = {NULL};
    carve_status status = o.refined ? keep_pixels(&temporary, o.refined, &refined) : carve_ok;
    if (status.code == CARVE_OK) {
        status = method_plain(view, &temporary, question, &o, o.refined ? &refined : NULL, answered);
    }
    scope_release(&temporary);
    return deliver(view, &before, status, answered, result);
}

carve_status carve_plain(carve_view *view, const char *question, int32_t max_new_tokens,
                         carve_result **result) {
    const carve_plain_options options = {sizeof options, max_new_tokens, NULL, NULL, NULL};
    return carve_plain_with(view, question, &options, result);
}

carve_status carve_read(const carve_result *result, carve_reading *reading) {
    if (!result) return missing("The result");
    if (!reading) return missing("The reading's address");
    return struct_give("carve_reading", &result->reading, sizeof *reading, reading, FIRST_READING);
}

void carve_result_free(carve_result *result) {
    if (!result) return;
    scope_release(&result->memory);
    free(result);
}

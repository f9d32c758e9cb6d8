/* Steps 3 to 7 of the method (docs/method.md), by carve_refine.onnx. */
#include <math.h>
#include <string.h>

#include "handles.h"

/* Weights of the steps that both passes took. */
static carve_status weigh_steps(scope *owner, carve_steps steps, size_t common, double **weights) {
    *weights = scope_alloc(owner, common, sizeof **weights);
    if (!*weights) return no_memory();
    for (size_t i = 0; i < common; i++) {
        switch (steps) {
            case CARVE_STEPS_FIRST: (*weights)[i] = i == 0; break;
            case CARVE_STEPS_ALL: (*weights)[i] = (double)(i + 1); break;
            case CARVE_STEPS_LAST: (*weights)[i] = i == common - 1; break;
        }
    }
    return carve_ok;
}

static carve_status ones(scope *owner, size_t count, double **weights) {
    *weights = scope_alloc(owner, count, sizeof **weights);
    if (!*weights) return no_memory();
    for (size_t i = 0; i < count; i++) (*weights)[i] = 1;
    return carve_ok;
}

/* The most pixels of the refined image: more than the final pass sees need not be made. */
static int64_t refined_limit(const carve_view *view, const carve_ask_options *o) {
    const int64_t image = view->image.height * view->image.width;
    const int64_t most = o->max_refined_pixels ? o->max_refined_pixels : DEFAULT_GROWTH * image;
    return o->final_pixels && o->final_pixels < most ? o->final_pixels : o->max_refined_pixels;
}

/* Saliency that is infinite, or nowhere a number, comes from attention without a contrast. */
static carve_status check_saliency(const float *saliency, size_t count) {
    bool finite = false, infinite = false;
    for (size_t i = 0; i < count; i++) {
        finite |= isfinite(saliency[i]) != 0;
        infinite |= isinf(saliency[i]) != 0;
    }
    if (finite && !infinite) return carve_ok;
    return failure(CARVE_SETTINGS_ERROR, "The contrast is not finite. Give a regularizer above 0.");
}

enum { SALIENCY, MASK, BBOX, REFINED_IMAGE, REFINED_LIMITED, REFINE_OUTPUTS };
static const char *const refine_outputs[REFINE_OUTPUTS] = {
    NAME_SALIENCY, NAME_MASK, NAME_BBOX, NAME_REFINED_IMAGE, NAME_REFINED_LIMITED};

/* Read the graph's outputs into the result, which they belong to. */
static carve_status read_refined(const carve_view *view, OrtValue *const *values,
                                 carve_result *result) {
    static const ONNXTensorElementDataType types[REFINE_OUTPUTS] = {F32, BOOL, I64, U8, BOOL};
    static const size_t ranks[REFINE_OUTPUTS] = {2, 2, 1, 3, 0};
    const runtime *ort = &view->model->ort;
    carve_reading *r = &result->reading;
    const void *data[REFINE_OUTPUTS];
    int64_t shapes[REFINE_OUTPUTS][3] = {
        {view->image.height, view->image.width}, {view->image.height, view->image.width}, {4}, {-1, -1, 3}, {0}};
    for (int i = 0; i < REFINE_OUTPUTS; i++) {
        TRY(tensor_read(ort, values[i], refine_outputs[i], types[i], shapes[i], ranks[i], &data[i]));
    }
    TRY(check_saliency(data[SALIENCY], (size_t)(view->image.height * view->image.width)));
    r->width = (int32_t)view->image.width;
    r->height = (int32_t)view->image.height;
    r->saliency = data[SALIENCY];
    r->mask = data[MASK];
    for (int i = 0; i < 4; i++) r->box[i] = (int32_t)((const int64_t *)data[BBOX])[i];
    r->refined = data[REFINED_IMAGE];
    r->refined_height = (int32_t)shapes[REFINED_IMAGE][0];
    r->refined_width = (int32_t)shapes[REFINED_IMAGE][1];
    r->refined_limited = *(const uint8_t *)data[REFINED_LIMITED];
    return carve_ok;
}

carve_status refine(scope *temporary, const carve_view *view, const pass *question,
                    const carve_ask_options *o, carve_result *result) {
    enum { FEEDS = 14 };
    const carve_model *model = view->model;
    const runtime *ort = &model->ort;
    const manifest *m = &model->bundle;
    const encoded_image *seen = &view->encoded;
    const pass *general = o->contrast == CARVE_CONTRAST_OFF ? NULL : &view->general;
    const size_t shorter =
        general && general->steps < question->steps ? general->steps : question->steps;
    const size_t common = o->steps == CARVE_STEPS_FIRST ? 1 : shorter;
    const int64_t layers = (int64_t)o->layer_count, tokens = (int64_t)seen->map_count;
    const int64_t maps_shape[] = {(int64_t)common, layers, tokens};
    const int64_t image_shape[] = {view->image.height, view->image.width, 3}, two[] = {2}, four[] = {4};
    const int64_t steps_shape[] = {(int64_t)common}, layers_shape[] = {layers};
    const double whole[] = {0, 0, (double)view->image.width, (double)view->image.height};
    const double *window = o->geometry == CARVE_GEOMETRY_INPUT ? seen->window : whole;
    const int64_t regions = o->max_regions, strategy = o->strategy, rule = o->rule;
    const int64_t most_pixels = refined_limit(view, o);
    double *step_weights, *layer_weights, regularizer;
    double share = o->mask_top_p == CARVE_AUTO ? 1 : o->mask_top_p;
    const float *divisor;
    maps fused = {NULL, NULL, NULL, common, o->layer_count, seen->map_count};
    TRY(weigh_steps(temporary, o->steps, common, &step_weights));
    TRY(ones(temporary, o->layer_count, &layer_weights));
    TRY(chosen_rows(temporary, m, o, question, common, seen->map_count, &fused.question));
    if (general) {
        TRY(chosen_rows(temporary, m, o, general, common, seen->map_count, &fused.general));
    }
    fused.step_weights = step_weights;
    TRY(automatic_divisor(temporary, o, &fused, &divisor, &regularizer));
    const struct {
        const char *name;
        ONNXTensorElementDataType type;
        const void *data;
        const int64_t *shape;
        size_t rank;
    } inputs[FEEDS] = {
        {NAME_QUESTION_ATTENTION, F32, fused.question, maps_shape, 3},
        {NAME_GENERAL_ATTENTION, F32, divisor, maps_shape, 3},
        {NAME_GRID, I64, seen->grid, two, 1},
        {NAME_WINDOW, F64, window, four, 1},
        {NAME_IMAGE, U8, view->image.pixels, image_shape, 3},
        {NAME_STEP_WEIGHTS, F64, step_weights, steps_shape, 1},
        {NAME_LAYER_WEIGHTS, F64, layer_weights, layers_shape, 1},
        {NAME_REGULARIZER, F64, &regularizer, NULL, 0},
        {NAME_MASK_TOP_P, F64, &share, NULL, 0},
        {NAME_MAX_REGIONS, I64, &regions, NULL, 0},
        {NAME_STRATEGY, I64, &strategy, NULL, 0},
        {NAME_RULE, I64, &rule, NULL, 0},
        {NAME_OUTLIER_PERCENT, F64, &o->outlier_percent, NULL, 0},
        {NAME_MAX_REFINED_PIXELS, I64, &most_pixels, NULL, 0},
    };
    feed feeds[FEEDS];
    for (size_t i = 0; i < FEEDS; i++) {
        OrtValue *value;
        TRY(tensor_over(temporary, ort, inputs[i].type, inputs[i].data, inputs[i].shape,
                        inputs[i].rank, &value));
        feeds[i] = (feed){inputs[i].name, value};
    }
    const outputs expected = {refine_outputs, REFINE_OUTPUTS, REFINE_OUTPUTS, NULL, 0};
    OrtValue *values[REFINE_OUTPUTS];
    for (bool derived = o->mask_top_p != CARVE_AUTO;; derived = true) {
        scope *owner = derived ? &result->memory : temporary;
        TRY(session_run(owner, ort, model->sessions[GRAPH_REFINE], NAME_CARVE_REFINE, feeds, FEEDS,
                        &expected, values));
        TRY(read_refined(view, values, result));
        if (derived) return carve_ok;
        /* The feed points to this number: the graph runs again with it. */
        share = automatic_share(result->reading.saliency, (size_t)(view->image.height * view->image.width));
    }
}

carve_status refine_nothing(const carve_view *view, carve_result *result) {
    const picture *image = &view->image;
    const size_t height = (size_t)image->height, width = (size_t)image->width;
    float *saliency = scope_rows(&result->memory, height, width, sizeof *saliency);
    uint8_t *mask = scope_rows(&result->memory, height, width, sizeof *mask);
    uint8_t *refined = scope_rows(&result->memory, height, width, 3);
    carve_reading *r = &result->reading;
    if (!saliency || !mask || !refined) return no_memory();
    for (size_t i = 0; i < height * width; i++) saliency[i] = NAN;
    memset(mask, 1, height * width);
    memcpy(refined, image->pixels, height * width * 3);
    r->width = r->refined_width = r->box[2] = (int32_t)width;
    r->height = r->refined_height = r->box[3] = (int32_t)height;
    r->saliency = saliency;
    r->mask = mask;
    r->refined = refined;
    return carve_ok;
}

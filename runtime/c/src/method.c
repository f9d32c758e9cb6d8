/* The method (docs/method.md): passes about an image, and what lies between them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "handles.h"

static bool is_blank(const char *text) { return strspn(text, " \t\n\v\f\r") == strlen(text); }

/* What every pass sends: the question, a space and the suffix, if there is one. */
static carve_status with_suffix(scope *owner, const manifest *m, const char *question,
                                const char **out) {
    if (!question) return missing("The question");
    if (is_blank(question)) {
        return failure(CARVE_PROMPT_ERROR, "The question is empty. Ask about the image.");
    }
    size_t size = strlen(question) + strlen(m->suffix) + 2;
    char *text = scope_alloc(owner, size, 1);
    if (!text) return no_memory();
    snprintf(text, size, "%s%s%s", question, *m->suffix ? " " : "", m->suffix);
    *out = text;
    return carve_ok;
}

/* The general instruction's attention of at least `steps` steps, unless its answer is shorter. */
static carve_status general_attention(carve_view *view, size_t steps) {
    const engine *e = &view->model->engine;
    const float *const images[2] = {view->seen.features, NULL};
    const char *text = NULL;
    if (view->general_limit >= steps) return carve_ok;
    view->general_limit = 0;
    scope_release(&view->general_memory);
    TRY(with_suffix(&view->general_memory, e->bundle, e->bundle->general, &text));
    TRY(engine_require_room(e, &e->bundle->single, text, (int32_t)steps));
    TRY(engine_answer(&view->general_memory, e, &view->prefix, &e->bundle->single, text, images,
                      (int32_t)steps, &view->general));
    view->general_limit = steps;
    return carve_ok;
}

/* Weights of the steps that both passes took. */
static carve_status weigh_steps(scope *owner, carve_steps steps, size_t common, double **weights) {
    *weights = scope_alloc(owner, common, sizeof **weights);
    if (!*weights) return no_memory();
    for (size_t i = 0; i < common; i++) {
        bool counts = steps == CARVE_STEPS_ALL || i == (steps == CARVE_STEPS_LAST ? common - 1 : 0);
        (*weights)[i] = !counts ? 0 : steps == CARVE_STEPS_ALL ? (double)(i + 1) : 1;
    }
    return carve_ok;
}

static carve_status weigh_layers(scope *owner, const manifest *m, const carve_ask_options *o,
                                 double **weights) {
    *weights = scope_alloc(owner, m->tapped_count, sizeof **weights);
    if (!*weights) return no_memory();
    for (size_t i = 0; i < m->tapped_count; i++) {
        for (size_t j = 0; j < o->layer_count; j++) (*weights)[i] += o->layers[j] == m->tapped[i];
    }
    return carve_ok;
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

enum { REFINE_OUTPUTS = 5 };
static const char *const refine_outputs[REFINE_OUTPUTS] = {"saliency", "mask", "bbox",
                                                           "refined_image", "refined_limited"};

/* Read the graph's outputs into the result, which they belong to. */
static carve_status read_refined(const carve_view *view, OrtValue *const *values,
                                 carve_result *result) {
    static const ONNXTensorElementDataType types[REFINE_OUTPUTS] = {F32, BOOL, I64, U8, BOOL};
    static const size_t ranks[REFINE_OUTPUTS] = {2, 2, 1, 3, 0};
    const runtime *ort = view->model->engine.ort;
    carve_reading *r = &result->reading;
    const void *data[REFINE_OUTPUTS];
    int64_t shapes[REFINE_OUTPUTS][3] = {
        {view->height, view->width}, {view->height, view->width}, {4}, {-1, -1, 3}, {0}};
    for (int i = 0; i < REFINE_OUTPUTS; i++) {
        TRY(tensor_read(ort, values[i], refine_outputs[i], types[i], shapes[i], ranks[i], &data[i]));
    }
    TRY(check_saliency(data[0], (size_t)(view->height * view->width)));
    r->width = (int32_t)view->width;
    r->height = (int32_t)view->height;
    r->saliency = data[0];
    r->mask = data[1];
    for (int i = 0; i < 4; i++) r->box[i] = (int32_t)((const int64_t *)data[2])[i];
    r->refined = data[3];
    r->refined_height = (int32_t)shapes[3][0];
    r->refined_width = (int32_t)shapes[3][1];
    r->refined_limited = *(const uint8_t *)data[4];
    return carve_ok;
}

/* Steps 3 to 7 of the method, by carve_refine.onnx, into the result. */
static carve_status refine(scope *temporary, const carve_view *view, const pass *question,
                           const carve_ask_options *o, carve_result *result) {
    enum { FEEDS = 14 };
    const engine *e = &view->model->engine;
    const manifest *m = e->bundle;
    const pass *general = o->contrast == CARVE_CONTRAST_OFF ? NULL : &view->general;
    const size_t shorter =
        general && general->steps < question->steps ? general->steps : question->steps;
    const size_t common = o->steps == CARVE_STEPS_FIRST ? 1 : shorter;
    const int64_t taps = (int64_t)m->tapped_count, tokens = image_tokens(m);
    const int64_t question_shape[] = {(int64_t)question->steps, taps, tokens};
    const int64_t divisor_shape[] = {(int64_t)common, taps, tokens};
    const int64_t image_shape[] = {view->height, view->width, 3}, two[] = {2}, four[] = {4};
    const int64_t steps_shape[] = {(int64_t)common}, layers_shape[] = {taps};
    const double whole[] = {0, 0, (double)view->width, (double)view->height};
    const double *window = o->geometry == CARVE_GEOMETRY_INPUT ? view->seen.window : whole;
    const int64_t regions = o->max_regions, strategy = o->strategy, rule = o->rule;
    double *step_weights, *layer_weights, regularizer;
    double share = o->mask_top_p == CARVE_AUTO ? 1 : o->mask_top_p;
    pass divisor;
    TRY(weigh_steps(temporary, o->steps, common, &step_weights));
    TRY(weigh_layers(temporary, m, o, &layer_weights));
    TRY(automatic_divisor(temporary, m, o, question, general, step_weights, common, layer_weights,
                          &divisor, &regularizer));
    const struct {
        const char *name;
        ONNXTensorElementDataType type;
        const void *data;
        const int64_t *shape;
        size_t rank;
    } inputs[FEEDS] = {
        {"question_attention", F32, question->attention, question_shape, 3},
        {"general_attention", F32, divisor.attention, divisor_shape, 3},
        {"grid", I64, m->grid, two, 1},
        {"window", F64, window, four, 1},
        {"image", U8, view->pixels, image_shape, 3},
        {"step_weights", F64, step_weights, steps_shape, 1},
        {"layer_weights", F64, layer_weights, layers_shape, 1},
        {"regularizer", F64, &regularizer, NULL, 0},
        {"mask_top_p", F64, &share, NULL, 0},
        {"max_regions", I64, &regions, NULL, 0},
        {"strategy", I64, &strategy, NULL, 0},
        {"rule", I64, &rule, NULL, 0},
        {"outlier_percent", F64, &o->outlier_percent, NULL, 0},
        {"max_refined_pixels", I64, &o->max_refined_pixels, NULL, 0},
    };
    feed feeds[FEEDS];
    for (size_t i = 0; i < FEEDS; i++) {
        OrtValue *value;
        TRY(tensor_over(temporary, e->ort, inputs[i].type, inputs[i].data, inputs[i].shape,
                        inputs[i].rank, &value));
        feeds[i] = (feed){inputs[i].name, value};
    }
    OrtValue *values[REFINE_OUTPUTS];
    for (bool derived = o->mask_top_p != CARVE_AUTO;; derived = true) {
        scope *owner = derived ? &result->memory : temporary;
        TRY(session_run(owner, e->ort, e->sessions[GRAPH_REFINE], "carve_refine.onnx", feeds, FEEDS,
                        refine_outputs, values, REFINE_OUTPUTS));
        TRY(read_refined(view, values, result));
        if (derived) return carve_ok;
        /* The feed is over this number: the graph runs again with it. */
        share = automatic_share(result->reading.saliency, (size_t)(view->height * view->width));
    }
}

/* Ask again, about the pair or about the refined image alone. */
static carve_status final_pass(scope *temporary, const carve_view *view, const char *text,
                               const carve_ask_options *o, carve_result *result, pass *out) {
    const engine *e = &view->model->engine;
    const carve_reading *r = &result->reading;
    seen refined;
    TRY(engine_see(temporary, e, r->refined, r->refined_height, r->refined_width, &refined));
    if (o->final_prompt == CARVE_FINAL_PAIR) {
        const float *const images[2] = {view->seen.features, refined.features};
        return engine_answer(&result->memory, e, &view->prefix, &e->bundle->pair, text, images,
                             o->max_new_tokens, out);
    }
    const float *const images[2] = {refined.features, NULL};
    cache prefix = {{NULL}, NULL, 0};
    carve_status status = engine_prefix(e, refined.features, &prefix);
    if (status.code == CARVE_OK) {
        status = engine_answer(&result->memory, e, &prefix, &e->bundle->single, text, images,
                               o->max_new_tokens, out);
    }
    scope_release(&prefix.memory);
    return status;
}

carve_status method_ask(carve_view *view, scope *temporary, const char *question,
                        const carve_ask_options *o, carve_result *result) {
    const engine *e = &view->model->engine;
    const manifest *m = e->bundle;
    const float *const images[2] = {view->seen.features, NULL};
    const prompt *last = o->final_prompt == CARVE_FINAL_PAIR ? &m->pair : &m->single;
    carve_reading *r = &result->reading;
    const char *text = NULL;
    pass plain, final;
    TRY(with_suffix(temporary, m, question, &text));
    TRY(engine_require_room(e, last, text, o->max_new_tokens));
    TRY(engine_answer(&result->memory, e, &view->prefix, &m->single, text, images,
                      o->max_new_tokens, &plain));
    if (o->contrast != CARVE_CONTRAST_OFF) {
        TRY(general_attention(view, o->steps == CARVE_STEPS_FIRST ? 1 : plain.steps));
    }
    TRY(refine(temporary, view, &plain, o, result));
    TRY(final_pass(temporary, view, text, o, result, &final));
    r->plain_ids = plain.ids;
    r->plain_id_count = plain.id_count;
    r->ids = final.ids;
    r->id_count = final.id_count;
    TRY(tokenizer_decode(&result->memory, e->text, plain.ids, plain.id_count, &r->plain_answer));
    return tokenizer_decode(&result->memory, e->text, final.ids, final.id_count, &r->answer);
}

carve_status method_plain(carve_view *view, scope *temporary, const char *question,
                          int32_t max_new_tokens, carve_result *result) {
    const engine *e = &view->model->engine;
    const float *const images[2] = {view->seen.features, NULL};
    carve_reading *r = &result->reading;
    const char *text = NULL;
    pass answer;
    TRY(with_suffix(temporary, e->bundle, question, &text));
    TRY(engine_require_room(e, &e->bundle->single, text, max_new_tokens));
    TRY(engine_answer(&result->memory, e, &view->prefix, &e->bundle->single, text, images,
                      max_new_tokens, &answer));
    r->ids = answer.ids;
    r->id_count = answer.id_count;
    return tokenizer_decode(&result->memory, e->text, answer.ids, answer.id_count, &r->answer);
}

/* The method (docs/method.md): passes about an image, and what lies between them. */
#include <stdio.h>
#include <string.h>

#include "handles.h"
#include "text/tokenizer.h"

/* What every pass sends: the question, a space and the suffix, if there is one. */
static carve_status question_text(scope *owner, const manifest *m, const char *question,
                                const char **out) {
    if (!question) return missing("The question");
    if (text_is_blank(question)) {
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
    carve_model *model = view->model;
    const prompt *single = &model->bundle.single;
    const void *const images[2] = {view->encoded.features, NULL};
    const char *text = NULL;
    if (view->general_limit >= steps) return carve_ok;
    view->general_limit = 0;
    scope_release(&view->general_memory);
    TRY(question_text(&view->general_memory, &model->bundle, model->bundle.general, &text));
    TRY(check_context_budget(model, single, text, (int32_t)steps));
    TRY(generate(&view->general_memory, model, &view->prefix, single, text, images, (int32_t)steps,
                 &view->general));
    view->general_limit = steps;
    return carve_ok;
}

/* Ask again, about the pair or about the refined image alone. */
static carve_status final_pass(scope *temporary, carve_view *view, const char *text,
                               const carve_ask_options *o, carve_result *result, pass *out) {
    carve_model *model = view->model;
    const carve_reading *r = &result->reading;
    encoded_image refined;
    TRY(encode_image(temporary, model, r->refined, r->refined_height, r->refined_width, &refined));
    if (o->final_prompt == CARVE_FINAL_PAIR) {
        const void *const images[2] = {view->encoded.features, refined.features};
        return generate(&result->memory, model, &view->prefix, &model->bundle.pair, text, images,
                        o->max_new_tokens, out);
    }
    const void *const images[2] = {refined.features, NULL};
    cache prefix = {.capacity = 0};
    carve_status status = prefill(model, refined.features, &prefix);
    if (status.code == CARVE_OK) {
        status = generate(&result->memory, model, &prefix, &model->bundle.single, text, images,
                          o->max_new_tokens, out);
    }
    cache_release(model, &prefix);
    return status;
}

/* The pass of one plain answer, and its text. */
static carve_status plain_pass(carve_view *view, const char *text, int32_t max_new_tokens,
                               carve_result *result, pass *out, const char **answer) {
    carve_model *model = view->model;
    const void *const images[2] = {view->encoded.features, NULL};
    TRY(generate(&result->memory, model, &view->prefix, &model->bundle.single, text, images,
                 max_new_tokens, out));
    return tokenizer_decode(&result->memory, model->text, out->ids, out->id_count, answer);
}

carve_status method_ask(carve_view *view, scope *temporary, const char *question,
                        const carve_ask_options *o, carve_result *result) {
    const carve_model *model = view->model;
    const manifest *m = &model->bundle;
    const prompt *last = o->final_prompt == CARVE_FINAL_PAIR ? &m->pair : &m->single;
    carve_reading *r = &result->reading;
    const char *text = NULL;
    pass plain, final;
    TRY(question_text(temporary, m, question, &text));
    TRY(check_context_budget(model, last, text, o->max_new_tokens));
    TRY(plain_pass(view, text, o->max_new_tokens, result, &plain, &r->plain_answer));
    if (o->contrast != CARVE_CONTRAST_OFF) {
        TRY(general_attention(view, o->steps == CARVE_STEPS_FIRST ? 1 : plain.steps));
    }
    TRY(refine(temporary, view, &plain, o, result));
    TRY(final_pass(temporary, view, text, o, result, &final));
    r->plain_ids = plain.ids;
    r->plain_id_count = plain.id_count;
    r->ids = final.ids;
    r->id_count = final.id_count;
    return tokenizer_decode(&result->memory, model->text, final.ids, final.id_count, &r->answer);
}

carve_status method_plain(carve_view *view, scope *temporary, const char *question,
                          int32_t max_new_tokens, carve_result *result) {
    const carve_model *model = view->model;
    carve_reading *r = &result->reading;
    const char *text = NULL;
    pass plain;
    TRY(question_text(temporary, &model->bundle, question, &text));
    TRY(check_context_budget(model, &model->bundle.single, text, max_new_tokens));
    TRY(plain_pass(view, text, max_new_tokens, result, &plain, &r->answer));
    r->ids = plain.ids;
    r->id_count = plain.id_count;
    return carve_ok;
}

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

/* Refuse a question that cannot fit, before any graph runs: the second image takes a position at
 * least. */
static carve_status check_room(const carve_view *view, const prompt *p, const char *text,
                               int64_t new_tokens) {
    const carve_model *model = view->model;
    int64_t rest;
    TRY(count_prompt(model, p, model->bundle.prefix, p->count, text, 1, &rest));
    return check_context(&model->bundle, view->prefix.filled.length + rest, new_tokens);
}

/* A pass about the view's image alone. */
static request about_view(const carve_view *view, const char *text, int64_t max_new_tokens,
                          carve_stage stage, listener heard) {
    return (request){.prompt = &view->model->bundle.single,
                     .text = text,
                     .images = {&view->encoded, NULL},
                     .max_new_tokens = (int32_t)max_new_tokens,
                     .stage = stage,
                     .heard = heard};
}

/* The general instruction's attention of at least `steps` steps, unless its answer is shorter, of
 * every layer or of the lower half; a longer one is kept. */
static carve_status general_attention(carve_view *view, size_t steps, bool lower, listener heard) {
    carve_model *model = view->model;
    const manifest *m = &model->bundle;
    const size_t rows = lower ? m->parts[0].tapped : m->tapped_count;
    const char *text = NULL;
    if (view->general_limit >= steps && view->general.rows >= rows) return carve_ok;
    view->general_limit = 0;
    scope_release(&view->general_memory);
    TRY(question_text(&view->general_memory, m, m->general, &text));
    TRY(check_room(view, &m->single, text, (int64_t)steps));
    request r = about_view(view, text, (int64_t)steps, CARVE_STAGE_GENERAL, heard);
    r.lower = lower;
    TRY(generate(&view->general_memory, model, &view->prefix, &r, &view->general));
    view->general_limit = steps;
    return carve_ok;
}

/* Ask about a second image behind the prefix of the first. */
static carve_status pair_pass(scope *temporary, carve_view *view, const picture *second,
                              int64_t max_pixels, request *r, carve_result *result, pass *out) {
    carve_model *model = view->model;
    const manifest *m = &model->bundle;
    encoded_image encoded;
    int64_t others;
    r->prompt = &m->pair;
    r->images[1] = &encoded;
    TRY(count_prompt(model, r->prompt, m->prefix, r->prompt->count, r->text, 0, &others));
    TRY(encode_image(temporary, model, second, max_pixels, view->prefix.filled.length + others,
                     r->max_new_tokens, &encoded));
    return generate(&result->memory, model, &view->prefix, r, out);
}

/* Ask about another image alone. */
static carve_status other_pass(scope *temporary, carve_model *model, const picture *other,
                               int64_t max_pixels, request *r, carve_result *result, pass *out) {
    encoded_image encoded;
    prefix alone;
    int64_t others;
    r->images[0] = &encoded;
    TRY(count_prompt(model, r->prompt, 0, r->prompt->count, r->text, 0, &others));
    TRY(encode_image(temporary, model, other, max_pixels, others, r->max_new_tokens, &encoded));
    TRY(prefix_open(model, &encoded, &alone));
    carve_status status = generate(&result->memory, model, &alone, r, out);
    prefix_release(model, &alone);
    return status;
}

/* Ask about the refined image behind the original, or about it alone. */
static carve_status final_pass(scope *temporary, carve_view *view, const char *text,
                               const carve_ask_options *o, carve_result *result, pass *out) {
    const carve_reading *r = &result->reading;
    const picture made = {r->refined, r->refined_height, r->refined_width};
    request final = about_view(view, text, o->max_new_tokens, CARVE_STAGE_FINAL,
                               (listener){o->on_token, o->on_token_context});
    if (o->final_prompt == CARVE_FINAL_PAIR) {
        return pair_pass(temporary, view, &made, o->final_pixels, &final, result, out);
    }
    return other_pass(temporary, view->model, &made, o->final_pixels, &final, result, out);
}

/* Say what the question pass was like, and whether its answer will do. */
static carve_status judge(scope *temporary, const carve_view *view, const pass *question,
                          const carve_ask_options *o, carve_result *result) {
    const size_t tokens = view->encoded.map_count;
    const float *rows;
    char reason[160];
    carve_reading *r = &result->reading;
    TRY(chosen_rows(temporary, &view->model->bundle, o, question, question->steps, tokens, &rows));
    rows += (question->steps - 1) * o->layer_count * tokens;
    r->entropy = attention_entropy(rows, o->layer_count, tokens);
    if (!o->adaptive || question->probability < o->sure_probability ||
        r->entropy > o->focused_entropy) {
        return carve_ok;
    }
    snprintf(reason, sizeof reason,
             "the plain answer is sure (probability %.3f, at least %.3f) and focused (entropy %.2f, "
             "at most %.2f)",
             question->probability, o->sure_probability, r->entropy, o->focused_entropy);
    r->skipped = scope_copy(&result->memory, reason);
    return r->skipped ? carve_ok : no_memory();
}

/* The question pass, and the plain answer if it does not exit early. */
static carve_status question_pass(carve_view *view, const char *text, const carve_ask_options *o,
                                  carve_result *result, pass *out) {
    carve_model *model = view->model;
    carve_reading *r = &result->reading;
    request asked = about_view(view, text, o->early_exit ? 1 : o->max_new_tokens,
                               CARVE_STAGE_QUESTION, (listener){o->on_token, o->on_token_context});
    asked.lower = o->early_exit;
    TRY(generate(&result->memory, model, &view->prefix, &asked, out));
    if (asked.lower) return carve_ok;
    r->plain_ids = out->ids;
    r->plain_id_count = out->id_count;
    r->plain_probability = out->probability;
    return tokenizer_decode(&result->memory, model->text, out->ids, out->id_count, &r->plain_answer);
}

carve_status method_ask(carve_view *view, scope *temporary, const char *question,
                        const carve_ask_options *o, carve_result *result) {
    const carve_model *model = view->model;
    const manifest *m = &model->bundle;
    const bool pair = o->final_prompt == CARVE_FINAL_PAIR;
    const listener heard = {o->on_token, o->on_token_context};
    carve_reading *r = &result->reading;
    const char *text = NULL;
    pass asked, final;
    TRY(question_text(temporary, m, question, &text));
    TRY(check_room(view, &m->single, text, o->early_exit ? 1 : o->max_new_tokens));
    if (pair) TRY(check_room(view, &m->pair, text, o->max_new_tokens));
    r->rows = (int32_t)view->encoded.grid[0];
    r->columns = (int32_t)view->encoded.grid[1];
    TRY(question_pass(view, text, o, result, &asked));
    TRY(judge(temporary, view, &asked, o, result));
    if (r->skipped) {
        r->answer = r->plain_answer;
        r->ids = r->plain_ids;
        r->id_count = r->plain_id_count;
        r->probability = r->plain_probability;
        return refine_nothing(view, result);
    }
    if (o->contrast != CARVE_CONTRAST_OFF) {
        TRY(general_attention(view, o->steps == CARVE_STEPS_FIRST ? 1 : asked.steps, o->early_exit,
                              heard));
    }
    TRY(refine(temporary, view, &asked, o, result));
    TRY(final_pass(temporary, view, text, o, result, &final));
    r->ids = final.ids;
    r->id_count = final.id_count;
    r->probability = final.probability;
    return tokenizer_decode(&result->memory, model->text, final.ids, final.id_count, &r->answer);
}

carve_status method_attend(carve_view *view, scope *temporary, const char *text,
                           const carve_attend_options *o, carve_attention *attention) {
    carve_model *model = view->model;
    const manifest *m = &model->bundle;
    const char *filled = NULL;
    kept_rows kept = {.owner = temporary, .layers = m->tapped_count};
    pass watched;
    TRY(question_text(temporary, m, text, &filled));
    TRY(check_room(view, &m->single, filled, o->generate));
    request r = about_view(view, filled, o->generate, CARVE_STAGE_QUESTION,
                           (listener){o->on_token, o->on_token_context});
    r.watched = (watcher){keep_row, &kept};
    TRY(generate(temporary, model, &view->prefix, &r, &watched));
    return read_rows(temporary, view, &r, &kept, watched.ids, watched.id_count, attention);
}

carve_status method_plain(carve_view *view, scope *temporary, const char *question,
                          const carve_plain_options *o, const picture *refined,
                          carve_result *result) {
    carve_model *model = view->model;
    const manifest *m = &model->bundle;
    carve_reading *r = &result->reading;
    const char *text = NULL;
    pass plain;
    TRY(question_text(temporary, m, question, &text));
    TRY(check_room(view, refined ? &m->pair : &m->single, text, o->max_new_tokens));
    request asked = about_view(view, text, o->max_new_tokens,
                               refined ? CARVE_STAGE_FINAL : CARVE_STAGE_QUESTION,
                               (listener){o->on_token, o->on_token_context});
    if (refined) {
        TRY(pair_pass(temporary, view, refined, 0, &asked, result, &plain));
    } else {
        TRY(generate(&result->memory, model, &view->prefix, &asked, &plain));
    }
    r->ids = plain.ids;
    r->id_count = plain.id_count;
    r->probability = plain.probability;
    return tokenizer_decode(&result->memory, model->text, plain.ids, plain.id_count, &r->answer);
}

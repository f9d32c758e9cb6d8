/* What is behind the public handles. */
#ifndef CARVE_HANDLES_H
#define CARVE_HANDLES_H

#include "internal.h"
#include "json.h"

struct carve_model {
    scope memory;
    int users; /* the caller and the views */
    manifest bundle;
    runtime ort;
    engine engine;
    tokenizer *text;
};

struct carve_view {
    scope memory;
    carve_model *model;
    uint8_t *pixels; /* height * width * 3 */
    int64_t height, width;
    seen seen;
    cache prefix;
    pass general; /* the general instruction's attention, in `general_memory` */
    scope general_memory;
    size_t general_limit;
};

struct carve_result {
    scope memory;
    carve_reading reading;
};

/* ---- settings.c ---- */

carve_status missing(const char *what);
carve_status check_size(const char *what, size_t found, size_t wanted);
/* Read the manifest's default settings. */
carve_status settings_read(scope *owner, const cJSON *json, manifest *m);
carve_status settings_check(const manifest *m, const carve_ask_options *o);

/* ---- automatic.c ---- */

/* What the question's attention is divided by, and what is added to that first. `general` is NULL
 * where the contrast is off; the weights are those of steps and tapped layers. */
carve_status automatic_divisor(scope *owner, const manifest *m, const carve_ask_options *o,
                               const pass *question, const pass *general,
                               const double *step_weights, size_t steps,
                               const double *layer_weights, pass *divisor, double *added);
/* The share of the pixels that hold the saliency; those that are NaN do not count. */
double automatic_share(const float *saliency, size_t count);

/* ---- method.c ---- */

carve_status method_ask(carve_view *view, scope *temporary, const char *question,
                        const carve_ask_options *o, carve_result *result);
carve_status method_plain(carve_view *view, scope *temporary, const char *question,
                          int32_t max_new_tokens, carve_result *result);

#endif

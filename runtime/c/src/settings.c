/* Whether the settings of a question are in range. */
#include <math.h>

#include "handles.h"

carve_status missing(const char *what) {
    return failure(CARVE_INVALID_ARGUMENT, "%s is NULL. Pass one.", what);
}

carve_status check_size(const char *what, size_t found, size_t wanted) {
    if (found == wanted) return carve_ok;
    return failure(CARVE_INVALID_ARGUMENT,
                   "%s has struct_size %zu, this library knows %zu. Set it to sizeof the structure, "
                   "and use the header of this library.",
                   what, found, wanted);
}

static carve_status check_layers(const manifest *m, const carve_ask_options *o) {
    if (!o->layers || !o->layer_count) {
        return failure(CARVE_SETTINGS_ERROR, "layers is empty. Name at least one decoder layer.");
    }
    for (size_t i = 0; i < o->layer_count; i++) {
        bool tapped = false, repeated = false;
        for (size_t j = 0; j < m->tapped_count; j++) tapped |= m->tapped[j] == o->layers[i];
        for (size_t j = 0; j < i; j++) repeated |= o->layers[j] == o->layers[i];
        if (!tapped || repeated) {
            return failure(CARVE_SETTINGS_ERROR, "Layer %d is %s. Name exposed layers once each.",
                           (int)o->layers[i], tapped ? "named twice" : "not exposed");
        }
    }
    return carve_ok;
}

carve_status settings_check(const manifest *m, const carve_ask_options *o) {
    TRY(check_size("carve_ask_options", o->struct_size, sizeof *o));
    TRY(check_layers(m, o));
    const struct {
        const char *name;
        double value, low, high;
    } ranges[] = {
        {"steps", (int)o->steps, CARVE_STEPS_FIRST, CARVE_STEPS_LAST},
        {"strategy", (int)o->strategy, CARVE_STRATEGY_ATTENTION_SUM, CARVE_STRATEGY_REMOVE_SMALL},
        {"rule", (int)o->rule, CARVE_RULE_RELEASED, CARVE_RULE_PAPER},
        {"geometry", (int)o->geometry, CARVE_GEOMETRY_INPUT, CARVE_GEOMETRY_RELEASED},
        {"final_prompt", (int)o->final_prompt, CARVE_FINAL_PAIR, CARVE_FINAL_REFINED},
        {"mask_top_p", o->mask_top_p, 1e-300, 1},
        {"outlier_percent", o->outlier_percent, 0, 100},
        {"regularizer", o->regularizer, 0, HUGE_VAL},
        {"max_regions", o->max_regions, 1, INT32_MAX},
        {"max_new_tokens", o->max_new_tokens, 1, INT32_MAX},
        {"max_refined_pixels", (double)o->max_refined_pixels, 0, HUGE_VAL},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        if (!(ranges[i].value >= ranges[i].low && ranges[i].value <= ranges[i].high)) {
            return failure(CARVE_SETTINGS_ERROR, "%s is %g. Give a value from %g to %g.",
                           ranges[i].name, ranges[i].value, ranges[i].low, ranges[i].high);
        }
    }
    return carve_ok;
}

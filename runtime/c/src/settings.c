/* The settings of a question: a bundle's defaults, and whether they are in range. */
#include <math.h>
#include <string.h>

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

static carve_status read_choice(const cJSON *json, const char *key, const char *const *names,
                                int *out) {
    const char *found;
    TRY(json_text(json, key, &found));
    for (int i = 0; names[i]; i++) {
        *out = i;
        if (strcmp(names[i], found) == 0) return carve_ok;
    }
    return failure(CARVE_BUNDLE_ERROR, "The default %s is '%.50s'. Export the checkpoint again.",
                   key, found);
}

static carve_status read_choices(const cJSON *defaults, carve_ask_options *o) {
    static const char *const steps[] = {"first", "all", "last", NULL};
    static const char *const strategies[] = {"attention_sum", "size", "remove_small", NULL};
    static const char *const rules[] = {"released", "paper", NULL};
    static const char *const geometries[] = {"input", "released", NULL};
    static const char *const finals[] = {"pair", "refined", NULL};
    static const char *const contrasts[] = {"on", "off", "auto", NULL};
    int choice;
    TRY(read_choice(defaults, "steps", steps, &choice));
    o->steps = (carve_steps)choice;
    TRY(read_choice(defaults, "strategy", strategies, &choice));
    o->strategy = (carve_strategy)choice;
    TRY(read_choice(defaults, "rule", rules, &choice));
    o->rule = (carve_rule)choice;
    TRY(read_choice(defaults, "geometry", geometries, &choice));
    o->geometry = (carve_geometry)choice;
    TRY(read_choice(defaults, "final_prompt", finals, &choice));
    o->final_prompt = (carve_final_prompt)choice;
    TRY(read_choice(defaults, "contrast", contrasts, &choice));
    o->contrast = (carve_contrast)choice;
    return carve_ok;
}

static carve_status number_or_auto(const cJSON *defaults, const char *key, double *out) {
    const cJSON *found = json_optional(defaults, key);
    if (cJSON_IsString(found) && strcmp(found->valuestring, "auto") == 0) {
        *out = CARVE_AUTO;
        return carve_ok;
    }
    return json_number(defaults, key, out);
}

/* The refined image has no more pixels than either limit. */
static carve_status read_refined_limit(const cJSON *defaults, int64_t *out) {
    static const char *const keys[] = {"max_refined_pixels", "final_pixels"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t limit;
        if (!json_optional(defaults, keys[i])) continue;
        TRY(json_int(defaults, keys[i], 1, INT64_C(1) << 53, &limit));
        if (!*out || limit < *out) *out = limit;
    }
    return carve_ok;
}

carve_status settings_read(scope *owner, const cJSON *json, manifest *m) {
    carve_ask_options *o = &m->defaults;
    const cJSON *defaults;
    const int64_t *layers;
    int64_t whole;
    o->struct_size = sizeof *o;
    TRY(json_object(json, "defaults", &defaults));
    if (cJSON_IsTrue(json_optional(defaults, "adaptive"))) {
        return failure(CARVE_UNSUPPORTED, "The bundle's default is adaptive. Export it without, or "
                                          "use the Python runtime.");
    }
    TRY(json_ints(owner, defaults, "layers", 0, m->layers - 1, &layers, &o->layer_count));
    int32_t *narrow = scope_alloc(owner, o->layer_count, sizeof *narrow);
    if (!narrow) return no_memory();
    for (size_t i = 0; i < o->layer_count; i++) narrow[i] = (int32_t)layers[i];
    o->layers = narrow;
    TRY(read_choices(defaults, o));
    TRY(number_or_auto(defaults, "mask_top_p", &o->mask_top_p));
    TRY(number_or_auto(defaults, "regularizer", &o->regularizer));
    TRY(json_number(defaults, "outlier_percent", &o->outlier_percent));
    TRY(json_int(defaults, "max_regions", 1, INT32_MAX, &whole));
    o->max_regions = (int32_t)whole;
    TRY(json_int(defaults, "max_new_tokens", 1, INT32_MAX, &whole));
    o->max_new_tokens = (int32_t)whole;
    return read_refined_limit(defaults, &o->max_refined_pixels);
}

carve_status settings_check(const manifest *m, const carve_ask_options *o) {
    TRY(check_size("carve_ask_options", o->struct_size, sizeof *o));
    TRY(check_layers(m, o));
    const struct {
        const char *name;
        double value, low, high;
        bool automatic;
    } ranges[] = {
        {"steps", (int)o->steps, CARVE_STEPS_FIRST, CARVE_STEPS_LAST, false},
        {"strategy", (int)o->strategy, CARVE_STRATEGY_ATTENTION_SUM, CARVE_STRATEGY_REMOVE_SMALL, false},
        {"rule", (int)o->rule, CARVE_RULE_RELEASED, CARVE_RULE_PAPER, false},
        {"geometry", (int)o->geometry, CARVE_GEOMETRY_INPUT, CARVE_GEOMETRY_RELEASED, false},
        {"final_prompt", (int)o->final_prompt, CARVE_FINAL_PAIR, CARVE_FINAL_REFINED, false},
        {"contrast", (int)o->contrast, CARVE_CONTRAST_ON, CARVE_CONTRAST_AUTO, false},
        {"mask_top_p", o->mask_top_p, 1e-300, 1, true},
        {"outlier_percent", o->outlier_percent, 0, 100, false},
        {"regularizer", o->regularizer, 0, HUGE_VAL, true},
        {"max_regions", o->max_regions, 1, INT32_MAX, false},
        {"max_new_tokens", o->max_new_tokens, 1, INT32_MAX, false},
        {"max_refined_pixels", (double)o->max_refined_pixels, 0, HUGE_VAL, false},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        bool automatic = ranges[i].automatic && ranges[i].value == CARVE_AUTO;
        if (!automatic && !(ranges[i].value >= ranges[i].low && ranges[i].value <= ranges[i].high)) {
            return failure(CARVE_SETTINGS_ERROR, "%s is %g. Give a value from %g to %g.",
                           ranges[i].name, ranges[i].value, ranges[i].low, ranges[i].high);
        }
    }
    return carve_ok;
}

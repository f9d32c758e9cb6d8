/* The settings of a question: a bundle's defaults, and whether they are in range. */
#include "settings_table.h"

#include <math.h>
#include <string.h>

#include "handles.h"

/* The values of each choice: steps_values, strategy_values, ... */
#define VALUES(name, fallback, ...) static const char *const name##_values[] = {__VA_ARGS__};
CHOICE_SETTINGS(VALUES)
#undef VALUES

/* ---- a bundle's defaults ---- */

static carve_status read_choice(const cJSON *defaults, const char *key, const char *const *values,
                                size_t count, int fallback, int *out) {
    const char *value;
    *out = fallback;
    if (!json_optional(defaults, key)) return carve_ok;
    TRY(json_text(defaults, key, &value));
    for (size_t i = 0; i < count; i++) {
        *out = (int)i;
        if (strcmp(values[i], value) == 0) return carve_ok;
    }
    return failure(CARVE_BUNDLE_ERROR, "The default %s is '%.50s'. Export the checkpoint again.",
                   key, value);
}

static carve_status read_real(const cJSON *defaults, const char *key, bool automatic,
                              double fallback, double *out) {
    const cJSON *item = json_optional(defaults, key);
    *out = fallback;
    if (!item) return carve_ok;
    if (automatic && cJSON_IsString(item) && strcmp(item->valuestring, "auto") == 0) {
        *out = CARVE_AUTO;
        return carve_ok;
    }
    return json_number(defaults, key, out);
}

static carve_status read_whole(const cJSON *defaults, const char *key, int64_t low,
                               int32_t fallback, int32_t *out) {
    int64_t value = fallback;
    if (json_optional(defaults, key)) TRY(json_int(defaults, key, low, INT32_MAX, &value));
    *out = (int32_t)value;
    return carve_ok;
}

/* The refined image has at most as many pixels as either limit allows. */
static carve_status read_refined_limit(const cJSON *defaults, int64_t *out) {
    static const char *const keys[] = {"max_refined_pixels", "final_pixels"};
    for (size_t i = 0; i < COUNT(keys); i++) {
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
    int choice;
    o->struct_size = sizeof *o;
    TRY(json_object(json, "defaults", &defaults));
    if (cJSON_IsTrue(json_optional(defaults, "adaptive"))) {
        return failure(CARVE_UNSUPPORTED, "The bundle's default is adaptive. Export it without, or "
                                          "use the Python runtime.");
    }
    TRY(json_layers(owner, defaults, "layers", m->layers, &o->layers, &o->layer_count));
#define READ_CHOICE(name, fallback, ...)                                                           \
    TRY(read_choice(defaults, #name, name##_values, COUNT(name##_values), fallback, &choice));     \
    o->name = (carve_##name)choice;
#define READ_REAL(name, fallback, low, above, high, automatic, words)                              \
    TRY(read_real(defaults, #name, automatic, fallback, &o->name));
#define READ_WHOLE(name, fallback, low, words)                                                     \
    TRY(read_whole(defaults, #name, low, fallback, &o->name));
    CHOICE_SETTINGS(READ_CHOICE)
    REAL_SETTINGS(READ_REAL)
    WHOLE_SETTINGS(READ_WHOLE)
#undef READ_CHOICE
#undef READ_REAL
#undef READ_WHOLE
    return read_refined_limit(defaults, &o->max_refined_pixels);
}

/* ---- one question's settings ---- */

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

static carve_status refuse(const char *name, double value, const char *accepted,
                           const char *otherwise) {
    return failure(CARVE_SETTINGS_ERROR, "%s is %g. Give %s%s.", name, value, accepted, otherwise);
}

static carve_status check_choice(const char *name, int value, size_t count) {
    if (value >= 0 && (size_t)value < count) return carve_ok;
    return refuse(name, value, "one of the enumerators of carve_", name);
}

static carve_status check_real(const char *name, double value, double low, bool above, double high,
                               bool automatic, const char *accepted) {
    if (automatic && value == CARVE_AUTO) return carve_ok;
    if ((above ? value > low : value >= low) && value <= high) return carve_ok; /* not for NaN */
    return refuse(name, value, accepted, automatic ? ", or CARVE_AUTO" : "");
}

static carve_status check_whole(const char *name, int64_t value, int64_t low, bool optional,
                                const char *accepted) {
    if (value >= low || (optional && value == 0)) return carve_ok;
    return refuse(name, (double)value, accepted, optional ? ", or 0" : "");
}

carve_status settings_check(const manifest *m, const carve_ask_options *o) {
    TRY(check_struct_size("carve_ask_options", o->struct_size, sizeof *o));
    TRY(check_layers(m, o));
#define CHECK_CHOICE(name, fallback, ...)                                                          \
    TRY(check_choice(#name, (int)o->name, COUNT(name##_values)));
#define CHECK_REAL(name, fallback, low, above, high, automatic, accepted)                          \
    TRY(check_real(#name, o->name, low, above, high, automatic, accepted));
#define CHECK_WHOLE(name, fallback, low, accepted)                                                 \
    TRY(check_whole(#name, o->name, low, false, accepted));
#define CHECK_OPTIONAL(name, low, accepted) TRY(check_whole(#name, o->name, low, true, accepted));
    CHOICE_SETTINGS(CHECK_CHOICE)
    REAL_SETTINGS(CHECK_REAL)
    WHOLE_SETTINGS(CHECK_WHOLE)
    OPTIONAL_SETTINGS(CHECK_OPTIONAL)
#undef CHECK_CHOICE
#undef CHECK_REAL
#undef CHECK_WHOLE
#undef CHECK_OPTIONAL
    return carve_ok;
}

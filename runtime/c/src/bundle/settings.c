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

static carve_status read_optional(const cJSON *defaults, const char *key, int64_t low, int64_t high,
                                  int64_t *out) {
    *out = 0;
    if (!json_optional(defaults, key)) return carve_ok;
    return json_int(defaults, key, low, high, out);
}

static carve_status read_flag(const cJSON *defaults, const char *key, int32_t fallback,
                              int32_t *out) {
    const cJSON *item = json_optional(defaults, key);
    *out = item ? cJSON_IsTrue(item) : fallback;
    if (!item || cJSON_IsBool(item)) return carve_ok;
    return failure(CARVE_BUNDLE_ERROR, "The default %s is neither true nor false. Export again.",
                   key);
}

carve_status settings_read(scope *owner, const cJSON *json, manifest *m) {
    carve_ask_options *o = &m->defaults;
    const cJSON *defaults;
    int choice;
    o->struct_size = sizeof *o;
    TRY(json_object(json, "defaults", &defaults));
    TRY(json_layers(owner, defaults, "layers", m->layers, &o->layers, &o->layer_count));
#define READ_CHOICE(name, fallback, ...)                                                           \
    TRY(read_choice(defaults, #name, name##_values, COUNT(name##_values), fallback, &choice));     \
    o->name = (carve_##name)choice;
#define READ_REAL(name, fallback, low, above, high, automatic, words)                              \
    TRY(read_real(defaults, #name, automatic, fallback, &o->name));
#define READ_WHOLE(name, fallback, low, words)                                                     \
    TRY(read_whole(defaults, #name, low, fallback, &o->name));
#define READ_OPTIONAL_REAL(name, low, high, words)                                                 \
    TRY(read_real(defaults, #name, false, CARVE_NONE, &o->name));
#define READ_OPTIONAL(name, low, high, words)                                                      \
    TRY(read_optional(defaults, #name, low, high, &o->name));
#define READ_FLAG(name, fallback) TRY(read_flag(defaults, #name, fallback, &o->name));
    CHOICE_SETTINGS(READ_CHOICE)
    REAL_SETTINGS(READ_REAL)
    OPTIONAL_REAL_SETTINGS(READ_OPTIONAL_REAL)
    WHOLE_SETTINGS(READ_WHOLE)
    OPTIONAL_SETTINGS(READ_OPTIONAL)
    FLAG_SETTINGS(READ_FLAG)
#undef READ_CHOICE
#undef READ_REAL
#undef READ_OPTIONAL_REAL
#undef READ_WHOLE
#undef READ_OPTIONAL
#undef READ_FLAG
    return carve_ok;
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

static carve_status check_whole(const char *name, int64_t value, int64_t low, int64_t high,
                                bool optional, const char *accepted) {
    if ((value >= low && value <= high) || (optional && value == 0)) return carve_ok;
    return refuse(name, (double)value, accepted, optional ? ", or 0" : "");
}

static carve_status check_optional_real(const char *name, double value, double low, double high,
                                        const char *accepted) {
    if (value == CARVE_NONE || (value >= low && value <= high)) return carve_ok;
    return refuse(name, value, accepted, ", or CARVE_NONE");
}

static carve_status check_flag(const char *name, int32_t value) {
    return value == 0 || value == 1 ? carve_ok : refuse(name, value, "0 or 1", "");
}

/* Refuse an early exit that the bundle or the other settings do not allow. */
static carve_status check_exit(const manifest *m, const carve_ask_options *o) {
    if (o->steps != CARVE_STEPS_FIRST || o->adaptive) {
        return failure(CARVE_SETTINGS_ERROR,
                       "early_exit sees the first step only and gives no plain answer. Ask with "
                       "steps first and without adaptive, or without early_exit.");
    }
    if (m->part_count == 1) {
        return failure(CARVE_SETTINGS_ERROR,
                       "early_exit needs a decoder in two halves, which this bundle does not have. "
                       "Export the checkpoint with default layers that end below the last one.");
    }
    for (size_t i = 0; i < o->layer_count; i++) {
        if (o->layers[i] < m->parts[0].stop) continue;
        return failure(CARVE_SETTINGS_ERROR,
                       "early_exit stops below layer %d, and layers has %d. Choose lower layers, or "
                       "ask without early_exit.",
                       (int)m->parts[0].stop, (int)o->layers[i]);
    }
    return carve_ok;
}

static carve_status check_modes(const manifest *m, const carve_ask_options *o) {
    if (o->method != CARVE_METHOD_CONTRAST && o->method != CARVE_METHOD_QUESTION) {
        return failure(CARVE_SETTINGS_ERROR,
                       "method is %s, and this library has contrast and question. Give one of the "
                       "two, or use the Python runtime.",
                       method_values[o->method]);
    }
    if (o->resize_refined == CARVE_RESIZE_ONCE) {
        return failure(CARVE_SETTINGS_ERROR,
                       "resize_refined is once, and this library always makes the refined image and "
                       "resizes it again. Give CARVE_RESIZE_TWICE, or use the Python runtime.");
    }
    if (o->early_exit) TRY(check_exit(m, o));
    if (!o->adaptive || (o->sure_probability != CARVE_NONE && o->focused_entropy != CARVE_NONE)) {
        return carve_ok;
    }
    return failure(CARVE_SETTINGS_ERROR, "adaptive has no thresholds in this bundle. Give "
                                         "sure_probability and focused_entropy.");
}

carve_status settings_check(const manifest *m, const carve_ask_options *o) {
    TRY(check_layers(m, o));
#define CHECK_CHOICE(name, fallback, ...)                                                          \
    TRY(check_choice(#name, (int)o->name, COUNT(name##_values)));
#define CHECK_REAL(name, fallback, low, above, high, automatic, accepted)                          \
    TRY(check_real(#name, o->name, low, above, high, automatic, accepted));
#define CHECK_WHOLE(name, fallback, low, accepted)                                                 \
    TRY(check_whole(#name, o->name, low, INT32_MAX, false, accepted));
#define CHECK_OPTIONAL(name, low, high, accepted)                                                  \
    TRY(check_whole(#name, o->name, low, high, true, accepted));
#define CHECK_OPTIONAL_REAL(name, low, high, accepted)                                             \
    TRY(check_optional_real(#name, o->name, low, high, accepted));
#define CHECK_FLAG(name, fallback) TRY(check_flag(#name, o->name));
    CHOICE_SETTINGS(CHECK_CHOICE)
    REAL_SETTINGS(CHECK_REAL)
    OPTIONAL_REAL_SETTINGS(CHECK_OPTIONAL_REAL)
    WHOLE_SETTINGS(CHECK_WHOLE)
    OPTIONAL_SETTINGS(CHECK_OPTIONAL)
    FLAG_SETTINGS(CHECK_FLAG)
#undef CHECK_CHOICE
#undef CHECK_REAL
#undef CHECK_OPTIONAL_REAL
#undef CHECK_WHOLE
#undef CHECK_OPTIONAL
#undef CHECK_FLAG
    return check_modes(m, o);
}

/* ---- variants ---- */

carve_status settings_vary(carve_ask_options *o, int variant) {
    static const struct {
        carve_steps steps;
        carve_strategy strategy;
    } variants[] = {
#define VARIANT(steps, strategy) {steps, strategy},
        VARIANT_SETTINGS(VARIANT)
#undef VARIANT
    };
    TRY(check_choice("variant", variant, COUNT(variants)));
    o->steps = variants[variant].steps;
    o->strategy = variants[variant].strategy;
    return carve_ok;
}

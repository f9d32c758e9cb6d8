/* Typed access to parsed JSON. */
#include "json.h"

#include <math.h>

static carve_status malformed(const char *key, const char *wanted) {
    return failure(CARVE_BUNDLE_ERROR, "'%s' is not %s. Copy the file again, or export again.", key,
                   wanted);
}

const cJSON *json_optional(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

carve_status json_object(const cJSON *object, const char *key, const cJSON **out) {
    *out = json_optional(object, key);
    return cJSON_IsObject(*out) ? carve_ok : malformed(key, "an object");
}

carve_status json_array(const cJSON *object, const char *key, const cJSON **out) {
    *out = json_optional(object, key);
    return cJSON_IsArray(*out) ? carve_ok : malformed(key, "a list");
}

carve_status json_text(const cJSON *object, const char *key, const char **out) {
    const cJSON *item = json_optional(object, key);
    if (!cJSON_IsString(item)) return malformed(key, "a text");
    *out = item->valuestring;
    return carve_ok;
}

carve_status json_number(const cJSON *object, const char *key, double *out) {
    const cJSON *item = json_optional(object, key);
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble)) return malformed(key, "a number");
    *out = item->valuedouble;
    return carve_ok;
}

static bool is_whole(const cJSON *item, int64_t low, int64_t high) {
    return cJSON_IsNumber(item) && item->valuedouble >= (double)low &&
           item->valuedouble <= (double)high && item->valuedouble == floor(item->valuedouble);
}

carve_status json_int_of(const cJSON *value, int64_t low, int64_t high, int64_t *out) {
    if (!is_whole(value, low, high)) return malformed("a number", "whole and in range");
    *out = (int64_t)value->valuedouble;
    return carve_ok;
}

carve_status json_int(const cJSON *object, const char *key, int64_t low, int64_t high,
                      int64_t *out) {
    const cJSON *item = json_optional(object, key);
    if (!is_whole(item, low, high)) return malformed(key, "a whole number in range");
    *out = (int64_t)item->valuedouble;
    return carve_ok;
}

carve_status json_ints(scope *owner, const cJSON *object, const char *key, int64_t low,
                       int64_t high, const int64_t **out, size_t *count) {
    const cJSON *array, *item;
    TRY(json_array(object, key, &array));
    int64_t *numbers = scope_alloc(owner, (size_t)cJSON_GetArraySize(array), sizeof *numbers);
    if (!numbers) return no_memory();
    *count = 0;
    *out = numbers;
    cJSON_ArrayForEach(item, array) {
        if (!is_whole(item, low, high)) return malformed(key, "a list of whole numbers in range");
        numbers[(*count)++] = (int64_t)item->valuedouble;
    }
    return carve_ok;
}

/* Typed access to parsed JSON. */
#include "json.h"

#include <math.h>

enum { LARGEST_FILE = 1 << 26 };

static carve_status malformed(const char *key, const char *expected) {
    return failure(CARVE_BUNDLE_ERROR, "'%s' is not %s. Copy the file again, or export again.", key,
                   expected);
}

static void release_json(void *json, const void *context) {
    (void)context;
    cJSON_Delete(json);
}

carve_status json_open(scope *owner, const char *path, const cJSON **out) {
    char *data;
    size_t size;
    TRY(read_file(owner, path, LARGEST_FILE, &data, &size));
    cJSON *json = cJSON_ParseWithLength(data, size);
    if (!json) {
        return failure(CARVE_BUNDLE_ERROR, "%s is not JSON. Copy or export it again.", path);
    }
    TRY(scope_own(owner, json, release_json, NULL));
    if (!cJSON_IsObject(json)) {
        return failure(CARVE_BUNDLE_ERROR, "%s is not a JSON object. Copy or export it again.",
                       path);
    }
    *out = json;
    return carve_ok;
}

const cJSON *json_optional(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNull(item) ? NULL : item;
}

bool json_is_true(const cJSON *object, const char *key) {
    return cJSON_IsTrue(json_optional(object, key));
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

carve_status json_positive(const cJSON *object, const char *key, double *out, size_t count) {
    const cJSON *array, *item;
    size_t found = 0;
    TRY(json_array(object, key, &array));
    bool right = (size_t)cJSON_GetArraySize(array) == count;
    cJSON_ArrayForEach(item, array) {
        right = right && cJSON_IsNumber(item) && isfinite(item->valuedouble) && item->valuedouble > 0;
        if (right) out[found++] = item->valuedouble;
    }
    return right ? carve_ok : malformed(key, "a list of numbers above 0");
}

carve_status json_layers(scope *owner, const cJSON *object, const char *key, int64_t depth,
                         const int32_t **out, size_t *count) {
    const int64_t *layers;
    TRY(json_ints(owner, object, key, 0, depth - 1, &layers, count));
    int32_t *narrow = scope_alloc(owner, *count, sizeof *narrow);
    if (!narrow) return no_memory();
    for (size_t i = 0; i < *count; i++) narrow[i] = (int32_t)layers[i];
    *out = narrow;
    return carve_ok;
}

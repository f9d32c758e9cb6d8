/* Typed access to parsed JSON: a value of another kind or out of range is a status. */
#ifndef CARVE_JSON_H
#define CARVE_JSON_H

#include <cJSON.h>

#include "internal.h"

/* Parse a file that holds an object; the scope owns the result and every text in it. */
carve_status json_open(scope *owner, const char *path, const cJSON **out);

/* A member, or NULL if it is missing or null. */
const cJSON *json_optional(const cJSON *object, const char *key);
bool json_is_true(const cJSON *object, const char *key);
carve_status json_object(const cJSON *object, const char *key, const cJSON **out);
carve_status json_array(const cJSON *object, const char *key, const cJSON **out);
carve_status json_text(const cJSON *object, const char *key, const char **out);
carve_status json_number(const cJSON *object, const char *key, double *out);
carve_status json_int(const cJSON *object, const char *key, int64_t low, int64_t high,
                      int64_t *out);
carve_status json_int_of(const cJSON *value, int64_t low, int64_t high, int64_t *out);
carve_status json_ints(scope *owner, const cJSON *object, const char *key, int64_t low,
                       int64_t high, const int64_t **out, size_t *count);
/* As many numbers above 0 as there is room for. */
carve_status json_positive(const cJSON *object, const char *key, double *out, size_t count);
/* Numbers of decoder layers, below the decoder's depth. */
carve_status json_layers(scope *owner, const cJSON *object, const char *key, int64_t depth,
                         const int32_t **out, size_t *count);

#endif

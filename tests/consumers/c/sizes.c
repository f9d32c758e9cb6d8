/* Compiled only: what programs of the first version of carve.h say in struct_size is what the
 * library expects, with every alignment. */
#include "first_versions.h"

typedef struct first_ask_options {
    size_t struct_size;
    const int32_t *layers;
    size_t layer_count;
    carve_steps steps;
    carve_strategy strategy;
    carve_rule rule;
    carve_geometry geometry;
    carve_final_prompt final_prompt;
    double mask_top_p, outlier_percent, regularizer;
    int32_t max_regions, max_new_tokens;
    int64_t max_refined_pixels;
    carve_contrast contrast;
} first_ask_options;

typedef struct first_reading {
    size_t struct_size;
    const char *answer, *plain_answer;
    const int64_t *ids;
    size_t id_count;
    const int64_t *plain_ids;
    size_t plain_id_count;
    int32_t width, height;
    const float *saliency;
    const uint8_t *mask;
    int32_t box[4];
    const uint8_t *refined;
    int32_t refined_width, refined_height, refined_limited;
} first_reading;

/* An array of no size is an error. */
typedef char same_ask_options[sizeof(first_ask_options) == FIRST_ASK_OPTIONS ? 1 : -1];
typedef char same_reading[sizeof(first_reading) == FIRST_READING ? 1 : -1];

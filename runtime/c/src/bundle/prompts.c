/* The prompts of carve.json. */
#include <string.h>

#include "handles.h"

static carve_status read_segment(scope *owner, const cJSON *json, int64_t vocab, segment *out) {
    const cJSON *ids = json_optional(json, "ids"), *image = json_optional(json, "image"),
                *text = json_optional(json, "text");
    if (!cJSON_IsObject(json) || !!ids + !!image + !!text != 1) {
        return failure(CARVE_BUNDLE_ERROR,
                       "A prompt's segment does not have exactly one of ids, image and text. "
                       "Export the checkpoint again.");
    }
    if (ids) return json_ints(owner, json, "ids", 0, vocab - 1, &out->ids, &out->count);
    if (text) return json_text(json, "text", &out->text);
    int64_t index;
    TRY(json_int(json, "image", 0, 1, &index));
    out->image = (int)index;
    return carve_ok;
}

bool segment_is_image(const segment *s) { return !s->ids && !s->text; }

/* Read a prompt that shows images 0 .. images - 1 in order, and the text once. */
static carve_status read_prompt(scope *owner, const cJSON *prompts, const char *name, int images,
                                int64_t vocab, prompt *out) {
    const cJSON *array, *json;
    int next_image = 0, texts = 0;
    TRY(json_array(prompts, name, &array));
    out->segments = scope_alloc(owner, (size_t)cJSON_GetArraySize(array), sizeof *out->segments);
    if (!out->segments) return no_memory();
    cJSON_ArrayForEach(json, array) {
        segment *s = &out->segments[out->count++];
        TRY(read_segment(owner, json, vocab, s));
        if (segment_is_image(s) && s->image != next_image++) next_image = images + 1;
        if (s->text) texts += strstr(s->text, "{text}") ? 1 : 2;
    }
    if (next_image == images && texts == 1) return carve_ok;
    return failure(CARVE_BUNDLE_ERROR,
                   "The prompt '%s' does not show %d image(s) in order and {text} once. "
                   "Export the checkpoint again.",
                   name, images);
}

static bool same_segment(const segment *left, const segment *right) {
    if (segment_is_image(left) && segment_is_image(right)) return left->image == right->image;
    return left->ids && right->ids && left->count == right->count &&
           memcmp(left->ids, right->ids, left->count * sizeof *left->ids) == 0;
}

carve_status bundle_read_prompts(scope *owner, const cJSON *json, manifest *m) {
    const cJSON *prompts;
    TRY(json_object(json, "prompts", &prompts));
    TRY(read_prompt(owner, prompts, "single", 1, m->vocab_size, &m->single));
    TRY(read_prompt(owner, prompts, "pair", 2, m->vocab_size, &m->pair));
    TRY(json_text(prompts, "suffix", &m->suffix));
    TRY(json_text(prompts, "general", &m->general));
    for (size_t i = 0; i < m->single.count && i < m->pair.count; i++) {
        if (!same_segment(&m->single.segments[i], &m->pair.segments[i])) break;
        if (segment_is_image(&m->single.segments[i])) {
            m->prefix = i + 1;
            return carve_ok;
        }
    }
    return failure(CARVE_UNSUPPORTED, "The prompts do not start alike, with the image before the "
                                      "question. Use the Python runtime for this bundle.");
}

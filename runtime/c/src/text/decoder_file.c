/* The decoder of tokenizer.json: how a token's text becomes bytes. */
#include <string.h>

#include "text/parts.h"
#include "text/utf8.h"

/* Tokens are decoded one by one; what would change them once they are joined is refused. */
static carve_status require_before_joining(const decoder *d, const char *name) {
    if (!d->joined) return carve_ok;
    return failure(CARVE_UNSUPPORTED, "its decoder's %s comes after tokens are joined", name);
}

static carve_status read_replace_in_token(scope *owner, const cJSON *json, void *out) {
    decoder *d = out;
    TRY(require_before_joining(d, "Replace"));
    return read_replace(owner, json, &d->steps);
}

static carve_status read_metaspace(scope *owner, const cJSON *json, void *out) {
    decoder *d = out;
    text_step step = {.apply = apply_replace, .to = " "};
    (void)owner;
    TRY(require_before_joining(d, "Metaspace"));
    TRY(json_text(json, "replacement", &step.from));
    if (*step.from && utf8_is_valid(step.from, strlen(step.from))) return add_step(&d->steps, step);
    return failure(CARVE_BUNDLE_ERROR, "'replacement' is not a character. Export again.");
}

static carve_status read_byte_fallback(scope *owner, const cJSON *json, void *out) {
    decoder *d = out;
    (void)owner;
    (void)json;
    TRY(require_before_joining(d, "ByteFallback"));
    d->falls_back = d->joined = true;
    return carve_ok;
}

static carve_status read_byte_level(scope *owner, const cJSON *json, void *out) {
    decoder *d = out;
    (void)owner;
    (void)json;
    TRY(require_before_joining(d, "ByteLevel"));
    d->spelled = d->joined = true;
    return carve_ok;
}

static carve_status read_fuse(scope *owner, const cJSON *json, void *out) {
    (void)owner;
    (void)json;
    ((decoder *)out)->joined = true;
    return carve_ok;
}

/* Answers are stripped of white space anyway. */
static carve_status read_strip(scope *owner, const cJSON *json, void *out) {
    const decoder *d = out;
    const char *stripped;
    (void)owner;
    TRY(json_text(json, "content", &stripped));
    size_t size = strlen(stripped);
    int length = size ? utf8_length(stripped, size) : 0;
    if (d->joined && length > 0 && is_white_space(utf8_code(stripped, length))) return carve_ok;
    return failure(CARVE_UNSUPPORTED, "its decoder's Strip removes other things than white space "
                                      "around the answer");
}

carve_status read_decoder(scope *owner, const cJSON *json, decoder *out) {
    static const step_kind kinds[] = {
        {"Replace", read_replace_in_token}, {"ByteFallback", read_byte_fallback},
        {"Fuse", read_fuse},                {"Strip", read_strip},
        {"ByteLevel", read_byte_level},     {"Metaspace", read_metaspace},
    };
    const step_kinds all = {"decoder", "decoders", kinds, COUNT(kinds)};
    if (!json) return failure(CARVE_UNSUPPORTED, "it has no decoder");
    return read_steps(owner, json, &all, out);
}

/* The normalizer and the pre-tokenizer of tokenizer.json. */
#include <string.h>

#include "text/parts.h"
#include "text/utf8.h"

/* SentencePiece's sign for a space, U+2581. */
#define SPACE_SIGN "\xe2\x96\x81"

/* What ByteLevel splits with, from GPT-2. */
static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/* What files may ask Split for. Another pattern could mean one thing to Oniguruma, for which it was
 * written, and another to PCRE2: these were compared. */
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define OTHERS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
static const char *const known_patterns[] = {
    CONTRACTIONS "\\p{N}" OTHERS,      /* digits one by one */
    CONTRACTIONS "\\p{N}{1,3}" OTHERS, /* up to three digits together */
};

carve_status read_steps(scope *owner, const cJSON *json, const step_kinds *kinds, void *out) {
    const cJSON *list, *item;
    const char *type;
    if (!json) return carve_ok;
    TRY(json_text(json, "type", &type));
    if (strcmp(type, "Sequence") == 0) {
        TRY(json_array(json, kinds->list, &list));
        cJSON_ArrayForEach(item, list) TRY(read_steps(owner, item, kinds, out));
        return carve_ok;
    }
    for (size_t i = 0; i < kinds->count; i++) {
        if (strcmp(type, kinds->items[i].type) == 0) return kinds->items[i].read(owner, json, out);
    }
    return failure(CARVE_UNSUPPORTED, "its %s %.50s is not one that it knows", kinds->part, type);
}

/* A text that becomes a part of others: it must be UTF-8, as they are. */
static carve_status read_characters(const cJSON *json, const char *key, const char **out) {
    TRY(json_text(json, key, out));
    if (utf8_is_valid(*out, strlen(*out))) return carve_ok;
    return failure(CARVE_BUNDLE_ERROR, "'%s' is not UTF-8. Export the checkpoint again.", key);
}

static carve_status read_prepend(scope *owner, const cJSON *json, void *steps) {
    text_step step = {.apply = apply_prepend};
    (void)owner;
    TRY(read_characters(json, "prepend", &step.to));
    return add_step(steps, step);
}

carve_status read_replace(scope *owner, const cJSON *json, void *steps) {
    text_step step = {.apply = apply_replace};
    const cJSON *pattern;
    (void)owner;
    TRY(json_object(json, "pattern", &pattern));
    if (!json_optional(pattern, "String")) {
        return failure(CARVE_UNSUPPORTED, "its Replace looks for a regular expression");
    }
    TRY(read_characters(pattern, "String", &step.from));
    TRY(read_characters(json, "content", &step.to));
    if (*step.from) return add_step(steps, step);
    return failure(CARVE_UNSUPPORTED, "its Replace looks for an empty text");
}

static carve_status read_nfc(scope *owner, const cJSON *json, void *steps) {
    (void)owner;
    (void)json;
    return add_step(steps, (text_step){.apply = apply_nfc});
}

static void release_pattern(void *pattern, const void *context) {
    (void)context;
    pcre2_code_free(pattern);
}

/* PCRE2's \s has U+180E besides Unicode's White_Space; Oniguruma's has not. */
static char *with_white_space(scope *owner, const char *pattern) {
    static const char space[] = "\\p{White_Space}", other[] = "\\P{White_Space}";
    char *out = scope_alloc(owner, strlen(pattern) + 1, sizeof space), *next = out;
    for (; out && *pattern; pattern++) {
        bool is_space = strncmp(pattern, "\\s", 2) == 0, is_other = strncmp(pattern, "\\S", 2) == 0;
        if (is_space || is_other) {
            memcpy(next, is_space ? space : other, sizeof space - 1);
            next += sizeof space - 1;
            pattern++;
        } else {
            *next++ = *pattern;
        }
    }
    return out;
}

/* A step that cuts out what matches a pattern, as Oniguruma reads it. */
static carve_status add_split(scope *owner, const char *pattern, text_steps *steps) {
    int error;
    PCRE2_SIZE where;
    char *translated = with_white_space(owner, pattern);
    if (!translated) return no_memory();
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)translated, PCRE2_ZERO_TERMINATED,
                                     PCRE2_UTF | PCRE2_UCP, &error, &where, NULL);
    if (!code) {
        return failure(CARVE_UNSUPPORTED,
                       "PCRE2 cannot compile its splitting pattern (error %d); 10.40 or later, "
                       "with Unicode, can",
                       error);
    }
    TRY(scope_own(owner, code, release_pattern, NULL));
    return add_step(steps, (text_step){.apply = apply_split, .pattern = code});
}

static carve_status read_split(scope *owner, const cJSON *json, void *steps) {
    const cJSON *pattern;
    const char *behavior;
    TRY(json_object(json, "pattern", &pattern));
    TRY(json_text(json, "behavior", &behavior));
    if (strcmp(behavior, "Isolated") != 0 || json_is_true(json, "invert")) {
        return failure(CARVE_UNSUPPORTED, "its Split is not of the kind Isolated");
    }
    const char *written = cJSON_GetStringValue(json_optional(pattern, "Regex"));
    for (size_t i = 0; written && i < COUNT(known_patterns); i++) {
        if (strcmp(written, known_patterns[i]) == 0) return add_split(owner, written, steps);
    }
    return failure(CARVE_UNSUPPORTED, "its Split has a pattern that it does not know");
}

static carve_status read_digits(scope *owner, const cJSON *json, void *steps) {
    return add_split(owner, json_is_true(json, "individual_digits") ? "\\p{N}" : "\\p{N}+", steps);
}

static carve_status read_byte_level(scope *owner, const cJSON *json, void *steps) {
    const cJSON *splits = json_optional(json, "use_regex");
    const cJSON *prefixed = json_optional(json, "add_prefix_space");
    if (!prefixed || cJSON_IsTrue(prefixed)) {
        return failure(CARVE_UNSUPPORTED, "its ByteLevel puts a space in front");
    }
    if (!splits || cJSON_IsTrue(splits)) TRY(add_split(owner, gpt2_pattern, steps));
    return add_step(steps, (text_step){.apply = apply_spell});
}

static carve_status read_metaspace(scope *owner, const cJSON *json, void *steps) {
    const cJSON *scheme = json_optional(json, "prepend_scheme");
    const cJSON *splits = json_optional(json, "split");
    const char *sign, *prepends = scheme ? cJSON_GetStringValue(scheme) : "always";
    TRY(json_text(json, "replacement", &sign));
    if (strcmp(sign, SPACE_SIGN) != 0) {
        return failure(CARVE_UNSUPPORTED, "its Metaspace does not write U+2581");
    }
    if (!prepends) return failure(CARVE_BUNDLE_ERROR, "'prepend_scheme' is not a text.");
    TRY(add_step(steps, (text_step){.apply = apply_replace, .from = " ", .to = sign}));
    /* "first": text is encoded in parts that follow other tokens, none of them is the first. */
    if (strcmp(prepends, "always") == 0 && !cJSON_IsFalse(json_optional(json, "add_prefix_space"))) {
        text_step prepend = {.apply = apply_prepend, .to = sign, .unless_there = true};
        TRY(add_step(steps, prepend));
    }
    if (cJSON_IsFalse(splits)) return carve_ok;
    return add_split(owner, SPACE_SIGN "[^" SPACE_SIGN "]*|[^" SPACE_SIGN "]+", steps);
}

carve_status read_normalizer(scope *owner, const cJSON *json, text_steps *steps) {
    static const step_kind kinds[] = {
        {"Prepend", read_prepend}, {"Replace", read_replace}, {"NFC", read_nfc}};
    const step_kinds all = {"normalizer", "normalizers", kinds, COUNT(kinds)};
    return read_steps(owner, json, &all, steps);
}

carve_status read_pre_tokenizer(scope *owner, const cJSON *json, text_steps *steps) {
    static const step_kind kinds[] = {{"ByteLevel", read_byte_level},
                                      {"Digits", read_digits},
                                      {"Metaspace", read_metaspace},
                                      {"Split", read_split}};
    const step_kinds all = {"pre-tokenizer", "pretokenizers", kinds, COUNT(kinds)};
    return read_steps(owner, json, &all, steps);
}

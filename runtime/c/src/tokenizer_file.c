/* tokenizer.json, and the file of `carve-export prompt`: read and check them. */
#include <stdlib.h>
#include <string.h>

#include "tokenizer.h"

enum { PROMPTS_SCHEMA = 1 };

/* The pattern that ByteLevel stands for in Hugging Face's tokenizers, from GPT-2. */
static const char byte_level_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+"
    "|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+";

static bool is_true(const cJSON *object, const char *key) {
    return cJSON_IsTrue(json_optional(object, key));
}

static bool has_type(const cJSON *object, const char *expected) {
    const cJSON *type = object ? json_optional(object, "type") : NULL;
    return cJSON_IsString(type) && strcmp(type->valuestring, expected) == 0;
}

static bool is_empty(const cJSON *object, const char *key) {
    const cJSON *item = json_optional(object, key);
    return !item || (cJSON_IsString(item) && !*item->valuestring);
}

/* Say why a tokenizer's text cannot be encoded here, or NULL. */
static const char *refusal(const cJSON *json, const cJSON *model) {
    const cJSON *splitter = json_optional(json, "pre_tokenizer"), *added;
    cJSON_ArrayForEach(added, json_optional(json, "added_tokens")) {
        if (!is_true(added, "special")) return "it adds tokens that are not special";
    }
    if (json_optional(json, "normalizer")) return "it normalises text";
    if (!has_type(model, "BPE")) return "its model is not BPE";
    if (!has_type(splitter, "ByteLevel")) return "its pre-tokenizer is not ByteLevel";
    if (is_true(splitter, "add_prefix_space") || !is_true(splitter, "use_regex")) {
        return "its ByteLevel has other options";
    }
    if (json_optional(model, "dropout") || json_optional(model, "unk_token") ||
        !is_empty(model, "continuing_subword_prefix") || !is_empty(model, "end_of_word_suffix") ||
        is_true(model, "byte_fallback")) {
        return "its BPE has other options";
    }
    return NULL;
}

static carve_status read_vocabulary(scope *owner, const cJSON *json, const cJSON *model,
                                    const manifest *m, tokenizer *t) {
    const cJSON *vocabulary, *item;
    int64_t id, largest = 0;
    TRY(json_object(model, "vocab", &vocabulary));
    t->names = scope_alloc(owner, (size_t)cJSON_GetArraySize(vocabulary), sizeof *t->names);
    if (!t->names) return no_memory();
    cJSON_ArrayForEach(item, vocabulary) {
        TRY(json_int_of(item, 0, MOST_TOKENS, &id));
        t->names[t->name_count++] = (named_id){item->string, id};
        if (id > largest) largest = id;
    }
    qsort(t->names, t->name_count, sizeof *t->names, by_name);
    t->id_count = (size_t)(largest > m->vocab_size ? largest : m->vocab_size) + 1;
    t->spelling = scope_alloc(owner, t->id_count, sizeof *t->spelling);
    t->special = scope_alloc(owner, t->id_count, sizeof *t->special);
    if (!t->spelling || !t->special) return no_memory();
    for (size_t i = 0; i < t->name_count; i++) t->spelling[t->names[i].id] = t->names[i].name;
    cJSON_ArrayForEach(item, json_optional(json, "added_tokens")) {
        TRY(json_int(item, "id", 0, (int64_t)t->id_count - 1, &id));
        TRY(json_text(item, "content", &t->spelling[id]));
        if (is_true(item, "special")) t->special[id] = true;
    }
    if (m->image_token < (int64_t)t->id_count) t->special[m->image_token] = true;
    for (size_t i = 0; i < m->eos_count; i++) {
        if (m->eos[i] < (int64_t)t->id_count) t->special[m->eos[i]] = true;
    }
    for (unsigned byte = 0; byte < 256; byte++) {
        char utf8[3];
        spell_character(byte_character(byte), utf8);
        t->byte_ids[byte] = id_of(t, utf8);
    }
    return carve_ok;
}

/* Read a merge, ["a", "b"] or "a b", into ids. */
static carve_status read_merge(const cJSON *item, const tokenizer *t, scope *owner, merge *out) {
    const char *left = NULL, *right = NULL;
    if (cJSON_IsString(item)) {
        char *copy = scope_copy(owner, item->valuestring);
        if (!copy) return no_memory();
        char *space = strchr(copy, ' ');
        if (space) {
            *space = 0;
            left = copy;
            right = space + 1;
        }
    } else if (cJSON_GetArraySize(item) == 2) {
        left = cJSON_GetStringValue(cJSON_GetArrayItem(item, 0));
        right = cJSON_GetStringValue(cJSON_GetArrayItem(item, 1));
    }
    if (left && right) {
        size_t first = strlen(left), size = first + strlen(right) + 1;
        char *joined = malloc(size);
        if (!joined) return no_memory();
        memcpy(joined, left, first);
        memcpy(joined + first, right, size - first);
        out->left = id_of(t, left);
        out->right = id_of(t, right);
        out->result = id_of(t, joined);
        free(joined);
        if (out->left >= 0 && out->right >= 0 && out->result >= 0) return carve_ok;
    }
    return failure(CARVE_BUNDLE_ERROR, "tokenizer.json has a merge of tokens that it does not "
                                       "list. Export the checkpoint again.");
}

static carve_status read_merges(scope *owner, const cJSON *model, tokenizer *t) {
    const cJSON *array, *item;
    TRY(json_array(model, "merges", &array));
    t->merges = scope_alloc(owner, (size_t)cJSON_GetArraySize(array), sizeof *t->merges);
    if (!t->merges) return no_memory();
    cJSON_ArrayForEach(item, array) {
        merge *next = &t->merges[t->merge_count];
        TRY(read_merge(item, t, owner, next));
        next->rank = (int64_t)t->merge_count++;
    }
    qsort(t->merges, t->merge_count, sizeof *t->merges, by_pair);
    return carve_ok;
}

static void release_pattern(void *pattern, const void *context) {
    (void)context;
    pcre2_code_free(pattern);
}

static carve_status compile_splitter(scope *owner, tokenizer *t) {
    int error;
    PCRE2_SIZE where;
    t->splitter = pcre2_compile((PCRE2_SPTR)byte_level_pattern, PCRE2_ZERO_TERMINATED,
                                PCRE2_UTF | PCRE2_UCP, &error, &where, NULL);
    if (!t->splitter) {
        return failure(CARVE_UNSUPPORTED, "PCRE2 cannot compile the splitting pattern (error %d). "
                                          "Build with PCRE2 10.40 or later, with Unicode.",
                       error);
    }
    return scope_own(owner, t->splitter, release_pattern, NULL);
}

static carve_status read_prompts_file(scope *owner, const manifest *m, const char *path,
                                      tokenizer *t) {
    const cJSON *json;
    const char *made_for;
    char digest[65];
    int64_t version;
    TRY(json_open(owner, path, &json));
    TRY(json_int(json, "schema_version", PROMPTS_SCHEMA, PROMPTS_SCHEMA, &version));
    TRY(json_text(json, "tokenizer_sha256", &made_for));
    TRY(json_array(json, "texts", &t->texts));
    TRY(file_sha256(m->tokenizer, digest));
    if (strcmp(made_for, digest) == 0) return carve_ok;
    return failure(CARVE_BUNDLE_ERROR, "%s was made for another tokenizer. Run carve-export prompt "
                                       "on this bundle.",
                   path);
}

carve_status tokenizer_open(scope *owner, const manifest *m, const char *prompts_file,
                            tokenizer **out) {
    const cJSON *json, *model;
    tokenizer *t = scope_alloc(owner, 1, sizeof *t);
    if (!t) return no_memory();
    TRY(json_open(owner, m->tokenizer, &json));
    TRY(json_object(json, "model", &model));
    t->refusal = refusal(json, model);
    if (has_type(model, "BPE")) TRY(read_vocabulary(owner, json, model, m, t));
    t->decodes = t->names && has_type(json_optional(json, "decoder"), "ByteLevel");
    t->whole_words = is_true(model, "ignore_merges");
    if (!t->refusal) {
        TRY(read_merges(owner, model, t));
        TRY(compile_splitter(owner, t));
    }
    if (prompts_file) TRY(read_prompts_file(owner, m, prompts_file, t));
    *out = t;
    return carve_ok;
}

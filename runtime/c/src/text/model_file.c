/* The model of tokenizer.json: byte-pair encoding. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/parts.h"

static int by_name(const void *a, const void *b) {
    return strcmp(((const named_id *)a)->name, ((const named_id *)b)->name);
}

carve_status read_names(scope *owner, const cJSON *model, bpe *out) {
    const cJSON *vocabulary, *item;
    TRY(json_object(model, "vocab", &vocabulary));
    out->names = scope_alloc(owner, (size_t)cJSON_GetArraySize(vocabulary), sizeof *out->names);
    if (!out->names) return no_memory();
    cJSON_ArrayForEach(item, vocabulary) {
        named_id *next = &out->names[out->name_count];
        TRY(json_int_of(item, 0, MOST_TOKENS, &next->id));
        next->name = item->string;
        out->name_count++;
    }
    qsort(out->names, out->name_count, sizeof *out->names, by_name);
    return carve_ok;
}

/* The two tokens of a merge, ["a", "b"] or "a b". */
static void merged_tokens(const cJSON *item, piece *left, piece *right) {
    const cJSON *first = item, *second = NULL;
    *left = *right = (piece){"", 0, NO_ID};
    if (cJSON_IsArray(item)) {
        first = cJSON_GetArrayItem(item, 0);
        second = cJSON_GetArrayItem(item, 1);
    }
    const char *text = cJSON_GetStringValue(first), *rest = cJSON_GetStringValue(second);
    const char *space = text && !second ? strchr(text, ' ') : NULL;
    if (space) rest = space + 1;
    if (!text || !rest) return;
    *left = (piece){text, space ? (size_t)(space - text) : strlen(text), NO_ID};
    *right = (piece){rest, strlen(rest), NO_ID};
}

static carve_status read_merge(const cJSON *item, const bpe *model, merge *out) {
    piece left, right;
    merged_tokens(item, &left, &right);
    char *joined = malloc(left.size + right.size + 1);
    if (!joined) return no_memory();
    memcpy(joined, left.text, left.size);
    memcpy(joined + left.size, right.text, right.size);
    out->left = bpe_id(model, left.text, left.size);
    out->right = bpe_id(model, right.text, right.size);
    out->result = bpe_id(model, joined, left.size + right.size);
    free(joined);
    if (out->left != NO_ID && out->right != NO_ID && out->result != NO_ID) return carve_ok;
    return failure(CARVE_BUNDLE_ERROR, "tokenizer.json has a merge of tokens that it does not "
                                       "list. Export the checkpoint again.");
}

static carve_status read_merges(scope *owner, const cJSON *json, bpe *model) {
    const cJSON *array, *item;
    TRY(json_array(json, "merges", &array));
    model->merges = scope_alloc(owner, (size_t)cJSON_GetArraySize(array), sizeof *model->merges);
    if (!model->merges) return no_memory();
    cJSON_ArrayForEach(item, array) {
        merge *next = &model->merges[model->merge_count];
        TRY(read_merge(item, model, next));
        next->rank = (int64_t)model->merge_count++;
    }
    qsort(model->merges, model->merge_count, sizeof *model->merges, by_pair);
    return carve_ok;
}

static void find_byte_tokens(bpe *model) {
    for (unsigned byte = 0; byte < BYTES; byte++) {
        char name[sizeof "<0x00>"];
        int size = snprintf(name, sizeof name, "<0x%02X>", byte);
        model->byte_ids[byte] = bpe_id(model, name, (size_t)size);
    }
}

static bool is_empty(const cJSON *object, const char *key) {
    const cJSON *item = json_optional(object, key);
    return !item || (cJSON_IsString(item) && !*item->valuestring);
}

carve_status read_bpe(scope *owner, const cJSON *json, bpe *out) {
    const cJSON *unknown = json_optional(json, "unk_token");
    static const char *const refused[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t i = 0; i < COUNT(refused); i++) {
        if (is_empty(json, refused[i])) continue;
        return failure(CARVE_UNSUPPORTED, "its BPE has the option %s", refused[i]);
    }
    if (json_optional(json, "dropout")) {
        return failure(CARVE_UNSUPPORTED, "its BPE has dropout");
    }
    out->whole_words = json_is_true(json, "ignore_merges");
    out->falls_back = json_is_true(json, "byte_fallback");
    out->joins_unknown = json_is_true(json, "fuse_unk");
    out->unknown = NO_ID;
    if (unknown) {
        const char *name;
        TRY(json_text(json, "unk_token", &name));
        out->unknown = bpe_id(out, name, strlen(name));
        if (out->unknown == NO_ID) {
            return failure(CARVE_UNSUPPORTED, "its BPE's unk_token is not in its vocabulary");
        }
    }
    find_byte_tokens(out);
    return read_merges(owner, json, out);
}

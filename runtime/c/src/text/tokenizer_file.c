/* tokenizer.json, and the file of `carve-export prompt`: read and check them. */
#include <string.h>

#include "text/parts.h"

/* A bound on work and memory before a question's tokens are counted: no token is that long on
 * average. */
enum { TEXT_BYTES_PER_POSITION = 64, LONGEST_TEXT = 1 << 24 };

static void mark_special(tokenizer *t, int64_t id) {
    if (id >= 0 && (size_t)id < t->id_count) t->special[id] = true;
}

/* Read which text an id stands for, and which ids are special. */
static carve_status read_ids(scope *owner, const cJSON *json, const manifest *m, tokenizer *t) {
    const cJSON *added = json_optional(json, "added_tokens"), *item;
    int64_t id, largest = m->vocab_size;
    for (size_t i = 0; i < t->model.name_count; i++) {
        if (t->model.names[i].id > largest) largest = t->model.names[i].id;
    }
    cJSON_ArrayForEach(item, added) {
        TRY(json_int(item, "id", 0, MOST_TOKENS, &id));
        if (id > largest) largest = id;
    }
    t->id_count = (size_t)largest + 1;
    t->spelling = scope_alloc(owner, t->id_count, sizeof *t->spelling);
    t->special = scope_alloc(owner, t->id_count, sizeof *t->special);
    if (!t->spelling || !t->special) return no_memory();
    for (size_t i = 0; i < t->model.name_count; i++) {
        t->spelling[t->model.names[i].id] = t->model.names[i].name;
    }
    cJSON_ArrayForEach(item, added) {
        TRY(json_int(item, "id", 0, MOST_TOKENS, &id));
        TRY(json_text(item, "content", &t->spelling[id]));
        if (json_is_true(item, "special")) t->special[id] = true;
    }
    mark_special(t, m->image_token);
    for (size_t i = 0; i < m->eos_count; i++) mark_special(t, m->eos[i]);
    return carve_ok;
}

/* Read what happens to a text: added tokens are found, it is normalized, the rest of the added
 * tokens are found, it is split, and the model makes ids of the words. */
static carve_status read_encoder(scope *owner, const cJSON *json, const cJSON *model,
                                 tokenizer *t) {
    text_steps normalizer = {.count = 0};
    const text_steps none = {.count = 0};
    TRY(read_normalizer(owner, json_optional(json, "normalizer"), &normalizer));
    TRY(read_added_tokens(owner, json, false, &none, t->special, &t->raw));
    TRY(read_added_tokens(owner, json, true, &normalizer, t->special, &t->normalized));
    TRY(add_step(&t->steps, (text_step){.apply = apply_added, .added = &t->raw}));
    for (size_t i = 0; i < normalizer.count; i++) TRY(add_step(&t->steps, normalizer.items[i]));
    TRY(add_step(&t->steps, (text_step){.apply = apply_added, .added = &t->normalized}));
    TRY(read_pre_tokenizer(owner, json_optional(json, "pre_tokenizer"), &t->steps));
    return read_bpe(owner, model, &t->model);
}

static carve_status require_bpe(const cJSON *model) {
    const char *type;
    TRY(json_text(model, "type", &type));
    if (strcmp(type, "BPE") == 0) return carve_ok;
    return failure(CARVE_UNSUPPORTED, "its model is %.50s, not BPE", type);
}

/* Turn "it has no ..." into a message. */
static carve_status explained(carve_status status, const char *unable) {
    if (status.code != CARVE_UNSUPPORTED) return status;
    return failure(CARVE_UNSUPPORTED,
                   "This library cannot %s with this tokenizer: %.250s. Encode the questions "
                   "beforehand with carve-export prompt, and open the bundle with its file.",
                   unable, status.message);
}

/* Keep in `kept` that something is unsupported, if that is allowed. */
static carve_status keep_refusal(carve_status status, bool allowed, carve_status *kept) {
    *kept = status;
    return status.code == CARVE_UNSUPPORTED && allowed ? carve_ok : status;
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
    const bool without = prompts_file != NULL; /* what it cannot do, it may do without */
    if (!t) return no_memory();
    t->longest_text = m->context_length < LONGEST_TEXT / TEXT_BYTES_PER_POSITION
                          ? (size_t)m->context_length * TEXT_BYTES_PER_POSITION
                          : LONGEST_TEXT;
    TRY(json_open(owner, m->tokenizer, &json));
    TRY(json_object(json, "model", &model));
    t->encodes = require_bpe(model);
    if (t->encodes.code == CARVE_OK) {
        TRY(read_names(owner, model, &t->model));
        TRY(read_ids(owner, json, m, t));
        t->encodes = read_encoder(owner, json, model, t);
        t->decodes = read_decoder(owner, json_optional(json, "decoder"), &t->decoder);
    } else {
        t->decodes = t->encodes;
    }
    TRY(keep_refusal(explained(t->encodes, "encode text"), without, &t->encodes));
    TRY(keep_refusal(explained(t->decodes, "decode answers"), without, &t->decodes));
    if (prompts_file) TRY(read_prompts_file(owner, m, prompts_file, t));
    *out = t;
    return carve_ok;
}

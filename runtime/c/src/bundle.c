/* carve.json: read it, check it, check every file that it lists. */
#include <stdio.h>
#include <string.h>

#include "handles.h"

static const char *const graph_names[GRAPH_COUNT] = {
    [GRAPH_PREPROCESS] = NAME_PREPROCESS, [GRAPH_VISION] = NAME_VISION_ENCODER,
    [GRAPH_EMBED] = NAME_EMBED_TOKENS,    [GRAPH_DECODER] = NAME_DECODER,
    [GRAPH_REFINE] = NAME_CARVE_REFINE,
};

int64_t image_tokens(const manifest *m) { return m->grid[0] * m->grid[1]; }

static bool is_inside(const char *name) {
    if (!*name || *name == '/' || strpbrk(name, "\\:")) return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == 0)) return false;
    }
    return true;
}

static carve_status path_in(scope *owner, const char *folder, const char *name, const char **path) {
    if (!is_inside(name)) {
        return failure(CARVE_BUNDLE_ERROR,
                       "The manifest names '%.100s', outside the bundle. Do not use this bundle.",
                       name);
    }
    size_t size = strlen(folder) + strlen(name) + 2;
    char *joined = scope_alloc(owner, size, 1);
    if (!joined) return no_memory();
    snprintf(joined, size, "%s/%s", folder, name);
    *path = joined;
    return carve_ok;
}

static carve_status check_file(scope *owner, const char *folder, const cJSON *entry,
                               bool sizes_only) {
    const char *path, *expected;
    int64_t size;
    char actual[65];
    TRY(path_in(owner, folder, entry->string ? entry->string : "", &path));
    TRY(json_int(entry, "size", 0, INT64_C(1) << 53, &size));
    TRY(json_text(entry, "sha256", &expected));
    int64_t actual_size = file_size(path);
    if (actual_size < 0) {
        return failure(CARVE_BUNDLE_ERROR, "%s is missing. Copy the whole bundle.", path);
    }
    if (actual_size != size) {
        return failure(CARVE_BUNDLE_ERROR,
                       "%s has %lld bytes, the manifest says %lld. Copy the bundle again.", path,
                       (long long)actual_size, (long long)size);
    }
    if (sizes_only) return carve_ok;
    TRY(file_sha256(path, actual));
    if (strcmp(actual, expected) != 0) {
        return failure(CARVE_BUNDLE_ERROR,
                       "%s is not the file that the manifest describes (its SHA-256 differs). "
                       "Copy the bundle again.",
                       path);
    }
    return carve_ok;
}

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

static carve_status read_prompts(scope *owner, const cJSON *json, manifest *m) {
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

static carve_status read_decoder(scope *owner, const cJSON *json, manifest *m) {
    const int64_t most = INT64_C(1) << 24;
    const cJSON *decoder;
    TRY(json_object(json, "decoder", &decoder));
    TRY(json_int(decoder, "layers", 1, 10000, &m->layers));
    TRY(json_int(decoder, "key_value_heads", 1, most, &m->key_value_heads));
    TRY(json_int(decoder, "head_dim", 1, most, &m->head_dim));
    TRY(json_int(decoder, "hidden_size", 1, most, &m->hidden_size));
    TRY(json_int(decoder, "vocab_size", 1, most, &m->vocab_size));
    TRY(json_int(decoder, "context_length", 1, most, &m->context_length));
    TRY(json_int(decoder, "image_token_id", 0, INT64_C(1) << 32, &m->image_token));
    TRY(json_ints(owner, decoder, "eos_token_ids", 0, INT64_C(1) << 32, &m->eos, &m->eos_count));
    TRY(json_layers(owner, decoder, "tapped_layers", m->layers, &m->tapped, &m->tapped_count));
    if (!m->tapped_count || !m->eos_count) {
        return failure(CARVE_BUNDLE_ERROR, "The manifest names no tapped layer or no "
                                           "end-of-sequence id. Export the checkpoint again.");
    }
    return carve_ok;
}

/* Read what the bundle computes in, and how its weights and its attention are stored. */
static carve_status read_types(const cJSON *json, manifest *m) {
    const char *dtype = "float32", *weights = "float32", *profile;
    if (json_optional(json, "dtype")) TRY(json_text(json, "dtype", &dtype));
    if (json_optional(json, "weights")) TRY(json_text(json, "weights", &weights));
    TRY(json_text(json, "profile", &profile));
    m->widens = strcmp(weights, "float32") != 0;
    m->fused = strcmp(profile, "ort") == 0;
    m->dtype = strcmp(dtype, "float16") == 0 ? F16 : F32;
    if (m->dtype == F16 || strcmp(dtype, "float32") == 0) return carve_ok;
    return failure(CARVE_UNSUPPORTED,
                   "The bundle computes in '%.40s', this library runs float32 and float16. Export "
                   "the checkpoint with --dtype float16.",
                   dtype);
}

/* Refuse decoders whose inputs differ: positions in three dimensions, DeepStack. */
static carve_status check_decoder_inputs(const cJSON *graph, const manifest *m) {
    const cJSON *inputs, *input;
    const char *const numbers = m->dtype == F16 ? "float16" : "float32";
    int64_t count = 0;
    bool known = true;
    TRY(json_array(graph, "inputs", &inputs));
    cJSON_ArrayForEach(input, inputs) {
        const char *name, *dtype;
        const cJSON *shape;
        TRY(json_text(input, "name", &name));
        TRY(json_text(input, "dtype", &dtype));
        TRY(json_array(input, "shape", &shape));
        bool integers = strcmp(name, NAME_ATTENTION_MASK) == 0 || strcmp(name, NAME_POSITION_IDS) == 0;
        known = known && strcmp(dtype, integers ? "int64" : numbers) == 0 &&
                (!integers || cJSON_GetArraySize(shape) == 2);
        count++;
    }
    if (known && count == 3 + 2 * m->layers) return carve_ok;
    return failure(CARVE_UNSUPPORTED, "The decoder has inputs that this library does not feed. "
                                      "Use the Python runtime for this bundle.");
}

static carve_status read_graphs(scope *owner, const cJSON *json, manifest *m) {
    const cJSON *graphs, *graph;
    TRY(json_object(json, "graphs", &graphs));
    for (int i = 0; i < GRAPH_COUNT; i++) {
        const char *file;
        if (!json_optional(graphs, graph_names[i])) {
            return failure(CARVE_UNSUPPORTED,
                           "The bundle has no graph %s. Export the checkpoint again, or use the "
                           "Python runtime.",
                           graph_names[i]);
        }
        TRY(json_object(graphs, graph_names[i], &graph));
        TRY(json_text(graph, "file", &file));
        TRY(path_in(owner, m->folder, file, &m->graphs[i]));
    }
    TRY(json_object(graphs, graph_names[GRAPH_DECODER], &graph));
    return check_decoder_inputs(graph, m);
}

static carve_status read_image(const cJSON *json, manifest *m) {
    const int64_t most = 1 << 12;
    const cJSON *image, *grid;
    const char *kind;
    TRY(json_object(json, "image", &image));
    TRY(json_text(image, "kind", &kind));
    if (strcmp(kind, "fixed") != 0) {
        return failure(CARVE_UNSUPPORTED,
                       "The bundle's images are of the kind '%s', this library reads 'fixed'. "
                       "Use the Python runtime for this bundle.",
                       kind);
    }
    TRY(json_array(image, "grid", &grid));
    for (int i = 0; i < 2; i++) TRY(json_int_of(cJSON_GetArrayItem(grid, i), 1, most, &m->grid[i]));
    m->max_aspect_ratio = DEFAULT_MAX_ASPECT_RATIO;
    if (json_optional(image, "max_aspect_ratio")) {
        TRY(json_number(image, "max_aspect_ratio", &m->max_aspect_ratio));
    }
    return carve_ok;
}

/* Refuse a file that the manifest does not list: it would not have been checked. */
static carve_status require_listed(const cJSON *files, const char *folder, const char *path) {
    const char *name = path + strlen(folder) + 1;
    if (cJSON_GetObjectItemCaseSensitive(files, name)) return carve_ok;
    return failure(CARVE_BUNDLE_ERROR, "The manifest does not list %s. Export again.", name);
}

carve_status manifest_open(scope *owner, const char *folder, bool sizes_only, manifest *m) {
    const cJSON *json, *files, *entry;
    const char *path;
    int64_t version;
    m->folder = scope_copy(owner, folder);
    if (!m->folder) return no_memory();
    TRY(path_in(owner, folder, NAME_MANIFEST_FILE, &path));
    TRY(json_open(owner, path, &json));
    TRY(json_int(json, "schema_version", 0, INT32_MAX, &version));
    if (version != SCHEMA_VERSION) {
        return failure(CARVE_UNSUPPORTED,
                       "%s has schema version %lld, this library reads %d. Upgrade it, or export "
                       "the checkpoint again.",
                       path, (long long)version, SCHEMA_VERSION);
    }
    TRY(read_types(json, m));
    TRY(read_decoder(owner, json, m));
    TRY(read_image(json, m));
    TRY(read_graphs(owner, json, m));
    TRY(read_prompts(owner, json, m));
    TRY(settings_read(owner, json, m));
    TRY(path_in(owner, folder, NAME_TOKENIZER_FILE, &m->tokenizer));
    TRY(json_object(json, "files", &files));
    cJSON_ArrayForEach(entry, files) { TRY(check_file(owner, folder, entry, sizes_only)); }
    TRY(require_listed(files, folder, m->tokenizer));
    for (int i = 0; i < GRAPH_COUNT; i++) TRY(require_listed(files, folder, m->graphs[i]));
    return carve_ok;
}

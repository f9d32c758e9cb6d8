/* carve.json: read it and check it. */
#include <string.h>

#include "handles.h"

static const char *const graph_names[GRAPH_COUNT] = {
    [GRAPH_PREPROCESS] = NAME_PREPROCESS,
    [GRAPH_VISION] = NAME_VISION_ENCODER,
    [GRAPH_EMBED] = NAME_EMBED_TOKENS,
    [GRAPH_REFINE] = NAME_CARVE_REFINE,
};

/* The largest number of any kind in a manifest, and of tokens. */
enum { MOST_LAYERS = 10000, MOST_OF_ANYTHING = 1 << 24, MOST_DEEPSTACK = 64 };

/* Of a byte; and the dimensions of pixel_values that are patches. Whole pictures have four. */
enum { HIGHEST_LEVEL = 255, PATCHES_RANK = 2 };

/* Say in which parts the decoder runs. */
static carve_status read_parts(const cJSON *decoder, manifest *m) {
    int64_t exit_layers = m->layers;
    size_t below = 0;
    bool halves = json_optional(decoder, "exit_layers") != NULL;
    if (halves) TRY(json_int(decoder, "exit_layers", 1, m->layers - 1, &exit_layers));
    while (below < m->tapped_count && m->tapped[below] < exit_layers) below++;
    if (!below || m->deepstack > exit_layers) {
        return failure(CARVE_BUNDLE_ERROR, "The decoder cannot be split after %lld layers. Export "
                                           "the checkpoint again.",
                       (long long)exit_layers);
    }
    m->part_count = halves ? 2 : 1;
    m->parts[0] = (part_spec){NAME_DECODER, NULL, NAME_INPUTS_EMBEDS, NAME_LOGITS, 0, exit_layers, below};
    if (!halves) return carve_ok;
    m->parts[0].name = NAME_DECODER_LOWER;
    m->parts[0].output = NAME_HIDDEN_STATES;
    m->parts[1] = (part_spec){NAME_DECODER_UPPER, NULL, NAME_HIDDEN_STATES, NAME_LOGITS,
                              exit_layers, m->layers, m->tapped_count - below};
    return carve_ok;
}

static carve_status read_positions(const cJSON *decoder, manifest *m) {
    const char *positions = "sequential";
    if (json_optional(decoder, "positions")) TRY(json_text(decoder, "positions", &positions));
    m->axes = strcmp(positions, "mrope") == 0 ? MROPE_AXES : 1;
    if (json_optional(decoder, "deepstack_layers")) {
        TRY(json_int(decoder, "deepstack_layers", 0, MOST_DEEPSTACK, &m->deepstack));
    }
    if (m->axes > 1 || strcmp(positions, "sequential") == 0) return carve_ok;
    return failure(CARVE_UNSUPPORTED, "The decoder's positions are '%.40s', this library knows "
                                      "'sequential' and 'mrope'. Use a newer one.",
                   positions);
}

/* Say what the rows of attention are. */
static carve_status read_row_heads(const cJSON *decoder, manifest *m) {
    const char *kind = "mean";
    if (json_optional(decoder, "attention")) TRY(json_text(decoder, "attention", &kind));
    if (strcmp(kind, "mean") == 0) return carve_ok;
    if (strcmp(kind, "heads") == 0) {
        return json_int(decoder, "attention_heads", 1, MOST_OF_ANYTHING, &m->row_heads);
    }
    return failure(CARVE_UNSUPPORTED, "The decoder's attention is '%.40s', this library knows "
                                      "'mean' and 'heads'. Use a newer one.",
                   kind);
}

static carve_status read_decoder(scope *owner, const cJSON *json, manifest *m) {
    const int64_t most = MOST_OF_ANYTHING;
    const cJSON *decoder;
    TRY(json_object(json, "decoder", &decoder));
    TRY(json_int(decoder, "layers", 1, MOST_LAYERS, &m->layers));
    TRY(json_int(decoder, "key_value_heads", 1, most, &m->key_value_heads));
    TRY(json_int(decoder, "head_dim", 1, most, &m->head_dim));
    TRY(json_int(decoder, "hidden_size", 1, most, &m->hidden_size));
    TRY(json_int(decoder, "vocab_size", 1, most, &m->vocab_size));
    TRY(json_int(decoder, "context_length", 1, most, &m->context_length));
    TRY(json_int(decoder, "image_token_id", 0, INT64_C(1) << 32, &m->image_token));
    TRY(json_ints(owner, decoder, "eos_token_ids", 0, INT64_C(1) << 32, &m->eos, &m->eos_count));
    TRY(json_layers(owner, decoder, "tapped_layers", m->layers, &m->tapped, &m->tapped_count));
    bool ordered = m->tapped_count && m->eos_count;
    for (size_t i = 1; i < m->tapped_count; i++) ordered &= m->tapped[i - 1] < m->tapped[i];
    if (!ordered) {
        return failure(CARVE_BUNDLE_ERROR, "The manifest names no end-of-sequence id, or tapped "
                                           "layers that are not distinct and in order. Export the "
                                           "checkpoint again.");
    }
    TRY(read_row_heads(decoder, m));
    TRY(read_positions(decoder, m));
    return read_parts(decoder, m);
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

/* Refuse a part of the decoder whose inputs are not those that the manifest's figures imply. */
static carve_status check_part_inputs(const cJSON *graph, const manifest *m, const part_spec *part) {
    const cJSON *inputs, *input;
    const char *const numbers = m->dtype == F16 ? "float16" : "float32";
    const int64_t deepstack = m->deepstack && part->first == 0;
    int64_t count = 0;
    bool known = true;
    TRY(json_array(graph, "inputs", &inputs));
    cJSON_ArrayForEach(input, inputs) {
        const char *name, *dtype;
        const cJSON *shape;
        TRY(json_text(input, "name", &name));
        TRY(json_text(input, "dtype", &dtype));
        TRY(json_array(input, "shape", &shape));
        bool positions = strcmp(name, NAME_POSITION_IDS) == 0;
        bool integers = positions || strcmp(name, NAME_ATTENTION_MASK) == 0;
        bool added = strcmp(name, NAME_DEEPSTACK_EMBEDS) == 0;
        int rank = integers ? positions && m->axes > 1 ? 3 : 2
                            : strcmp(name, part->input) == 0 ? 3 : 4;
        known = known && strcmp(dtype, integers ? "int64" : numbers) == 0 &&
                (!added || deepstack) && cJSON_GetArraySize(shape) == rank;
        count++;
    }
    if (known && count == 3 + 2 * (part->stop - part->first) + deepstack) return carve_ok;
    return failure(CARVE_BUNDLE_ERROR,
                   "%s has other inputs than the manifest's figures imply. Copy the bundle again, "
                   "or export it again.",
                   part->name);
}

/* Find a graph and its path. */
static carve_status find_graph(scope *owner, const manifest *m, const cJSON *graphs,
                               const char *name, const cJSON **graph, const char **path) {
    const char *file;
    if (!json_optional(graphs, name)) {
        return failure(CARVE_UNSUPPORTED,
                       "The bundle has no graph %s. Export the checkpoint again, or use the Python "
                       "runtime.",
                       name);
    }
    TRY(json_object(graphs, name, graph));
    TRY(json_text(*graph, "file", &file));
    return bundle_path(owner, m->folder, file, path);
}

/* Names of a graph's inputs or outputs. */
static carve_status tensor_names(scope *owner, const cJSON *graph, const char *key,
                                 const char ***names, size_t *count) {
    const cJSON *tensors, *tensor;
    TRY(json_array(graph, key, &tensors));
    *names = scope_alloc(owner, (size_t)cJSON_GetArraySize(tensors), sizeof **names);
    *count = 0;
    if (!*names) return no_memory();
    cJSON_ArrayForEach(tensor, tensors) { TRY(json_text(tensor, "name", &(*names)[(*count)++])); }
    return carve_ok;
}

static bool contains(const char *const *names, size_t count, const char *name) {
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) return true;
    }
    return false;
}

/* See that preprocess.onnx gives what the vision encoder takes and what a prompt needs. */
static carve_status check_preprocess(scope *owner, const cJSON *graph, const manifest *m) {
    const char **names;
    size_t count;
    TRY(tensor_names(owner, graph, "outputs", &names, &count));
    if (!contains(names, count, NAME_IMAGE_IDS)) {
        return failure(CARVE_UNSUPPORTED,
                       "The bundle was made before %s said how an image stands in a prompt. Export "
                       "the checkpoint again, or use the Python runtime.",
                       NAME_PREPROCESS);
    }
    for (size_t i = 0; i < m->vision_input_count; i++) {
        if (contains(names, count, m->vision_inputs[i])) continue;
        return failure(CARVE_BUNDLE_ERROR,
                       "%s does not give %.100s, which %s takes. Export the checkpoint again.",
                       NAME_PREPROCESS, m->vision_inputs[i], NAME_VISION_ENCODER);
    }
    return carve_ok;
}

static carve_status read_graphs(scope *owner, const cJSON *json, manifest *m) {
    const cJSON *graphs, *graph[GRAPH_COUNT];
    TRY(json_object(json, "graphs", &graphs));
    for (int i = 0; i < GRAPH_COUNT; i++) {
        TRY(find_graph(owner, m, graphs, graph_names[i], &graph[i], &m->graphs[i]));
    }
    TRY(tensor_names(owner, graph[GRAPH_VISION], "inputs", &m->vision_inputs,
                     &m->vision_input_count));
    TRY(check_preprocess(owner, graph[GRAPH_PREPROCESS], m));
    for (size_t i = 0; i < m->part_count; i++) {
        const cJSON *part;
        TRY(find_graph(owner, m, graphs, m->parts[i].name, &part, &m->parts[i].path));
        TRY(check_part_inputs(part, m, &m->parts[i]));
    }
    return carve_ok;
}

/* Read how pixel_values, which the vision encoder takes, are made of bytes. */
static carve_status read_pixel_values(const cJSON *image, const cJSON *encoder, manifest *m) {
    const cJSON *inputs, *input, *shape;
    double factor = 1.0 / HIGHEST_LEVEL;
    for (int i = 0; i < COLORS; i++) m->levels[i] = 1;
    if (json_optional(image, "std")) TRY(json_positive(image, "std", m->levels, COLORS));
    if (json_optional(image, "rescale_factor")) TRY(json_number(image, "rescale_factor", &factor));
    if (factor <= 0) {
        return failure(CARVE_BUNDLE_ERROR, "rescale_factor is %g, and must be above 0. Export again.",
                       factor);
    }
    for (int i = 0; i < COLORS; i++) m->levels[i] /= factor;
    TRY(json_array(encoder, "inputs", &inputs));
    cJSON_ArrayForEach(input, inputs) {
        const char *name;
        TRY(json_text(input, "name", &name));
        if (strcmp(name, NAME_PIXEL_VALUES) != 0) continue;
        TRY(json_array(input, "shape", &shape));
        if (cJSON_GetArraySize(shape) != PATCHES_RANK) continue;
        return json_int(image, "patch_size", 1, MOST_OF_ANYTHING, &m->patch_side);
    }
    return carve_ok;
}

static carve_status read_image(const cJSON *json, manifest *m) {
    const cJSON *image, *graphs, *encoder;
    TRY(json_object(json, "image", &image));
    TRY(json_object(json, "graphs", &graphs));
    TRY(json_object(graphs, NAME_VISION_ENCODER, &encoder));
    TRY(read_pixel_values(image, encoder, m));
    m->max_aspect_ratio = DEFAULT_MAX_ASPECT_RATIO;
    if (!json_optional(image, "max_aspect_ratio")) return carve_ok;
    return json_number(image, "max_aspect_ratio", &m->max_aspect_ratio);
}

/* Refuse a file that the manifest does not list: it would not have been checked. */
static carve_status require_listed(const cJSON *files, const char *folder, const char *path) {
    const char *name = path + strlen(folder) + 1;
    if (cJSON_GetObjectItemCaseSensitive(files, name)) return carve_ok;
    return failure(CARVE_BUNDLE_ERROR, "The manifest does not list %s. Export again.", name);
}

carve_status manifest_open(scope *owner, const char *folder, bool sizes_only, manifest *m) {
    const cJSON *json, *files;
    const char *path;
    int64_t version;
    m->folder = scope_copy(owner, folder);
    if (!m->folder) return no_memory();
    TRY(bundle_path(owner, folder, NAME_MANIFEST_FILE, &path));
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
    TRY(read_graphs(owner, json, m));
    TRY(read_image(json, m));
    TRY(bundle_read_prompts(owner, json, m));
    TRY(settings_read(owner, json, m));
    TRY(bundle_path(owner, folder, NAME_TOKENIZER_FILE, &m->tokenizer));
    TRY(json_object(json, "files", &files));
    TRY(bundle_check_files(owner, files, folder, sizes_only));
    TRY(require_listed(files, folder, m->tokenizer));
    for (int i = 0; i < GRAPH_COUNT; i++) TRY(require_listed(files, folder, m->graphs[i]));
    for (size_t i = 0; i < m->part_count; i++) {
        TRY(require_listed(files, folder, m->parts[i].path));
    }
    return carve_ok;
}

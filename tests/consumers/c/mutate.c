/*
 * mutate BUNDLE SCRATCH COUNT SEED [files]: feed COUNT damaged inputs to the library; it must
 * refuse or accept each, and the sanitizers must stay silent. Of 100 inputs 40 are manifests, 30
 * tokenizers, 29 questions and 1 a call of the public functions; "files" leaves the calls out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static uint64_t state;

/* A pseudo-random number below a limit (xorshift64*). */
static size_t below(size_t limit) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (size_t)((state * UINT64_C(2685821657736338717)) >> 33) % limit;
}

static void die(const char *what) {
    fprintf(stderr, "mutate: %s\n", what);
    exit(1);
}

/* Damage some bytes: any value, a repetition, a digit, a cut. Returns the new size. */
static size_t damage(char *data, size_t size, bool keep_size) {
    static const char likely[] = "0123456789-.eE\"[]{},:\\/ntf";
    for (size_t times = 1 + below(4); times && size; times--) {
        size_t at = below(size);
        switch (below(4)) {
            case 0: data[at] = (char)below(256); break;
            case 1: data[at] = likely[below(sizeof likely - 1)]; break;
            case 2: {
                size_t from = below(size), length = below(40);
                if (from + length <= size && at + length <= size) memmove(data + at, data + from, length);
                break;
            }
            default:
                if (!keep_size && below(8) == 0) size = at;
        }
    }
    return size;
}

static void write_file(const char *path, const char *data, size_t size) {
    FILE *stream = fopen(path, "wb");
    if (!stream || fwrite(data, 1, size, stream) != size || fclose(stream)) die(path);
}

static void use_tokenizer(scope *memory, const manifest *m, const char *text) {
    tokenizer *t;
    int64_t *ids;
    size_t count;
    const char *answer;
    if (tokenizer_open(memory, m, NULL, &t).code != CARVE_OK) return;
    if (tokenizer_encode(memory, t, text, &ids, &count).code != CARVE_OK) return;
    tokenizer_decode(memory, t, ids, count, &answer);
}

/* Open the scratch bundle, one of whose two text files is damaged. */
static void try_file(const char *folder, const char *name, const char *good, size_t size,
                     bool keep_size) {
    char path[4096], *bad = malloc(size + 1);
    scope memory = {NULL};
    manifest m = {0};
    if (!bad) die("no memory");
    memcpy(bad, good, size);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    write_file(path, bad, damage(bad, size, keep_size));
    if (manifest_open(&memory, folder, true, &m).code == CARVE_OK) {
        use_tokenizer(&memory, &m, "What word is it, \xe6\x9d\xb1\xe4\xba\xac ' s?");
    }
    scope_release(&memory);
    write_file(path, good, size);
    free(bad);
}

static void try_question(const tokenizer *t) {
    char text[200] = "What word is on the purple square, \xc3\xa9\xe2\x98\x83?";
    scope memory = {NULL};
    int64_t *ids;
    size_t count;
    text[damage(text, strlen(text), false)] = 0;
    tokenizer_encode(&memory, t, text, &ids, &count);
    int64_t wild[8];
    const char *answer;
    for (size_t i = 0; i < 8; i++) wild[i] = (int64_t)below(600);
    tokenizer_decode(&memory, t, wild, 8, &answer);
    scope_release(&memory);
}

/* End every third text. */
static int32_t on_token(void *context, carve_stage stage, const char *text) {
    (void)context;
    if (!text || stage > CARVE_STAGE_FINAL) die("a text of no stage");
    return !below(3);
}

/* Ask plainly about a pair: the crop, its rows and the options are each right or wrong. */
static void try_pair(carve_view *view, const char *question) {
    static const uint8_t pixels[8 * 25];
    static const int32_t sides[] = {2, 7, 8, 8, 1, 0, -1};
    carve_result *result;
    carve_image crop = {below(9) ? pixels : NULL, sides[below(4)], sides[below(4)],
                        below(3) ? 0 : 20 + below(6)};
    if (!below(9)) crop.height = sides[4 + below(3)];
    carve_plain_options o = {below(9) ? sizeof o : below(60), (int32_t)below(4) - (int32_t)below(2),
                             below(2) ? on_token : NULL, NULL, below(9) ? &crop : NULL};
    carve_plain_with(view, question, below(9) ? &o : NULL, &result);
    carve_result_free(result);
}

/* Attend to a text: it, the options and the reading are each right or wrong. */
static void try_attend(carve_view *view, const char *text) {
    carve_attention *attention;
    carve_attention_reading reading = {.struct_size = below(9) ? sizeof reading : below(300)};
    carve_attend_options o = {below(9) ? sizeof o : below(60), (int32_t)below(8) - 1,
                              below(2) ? on_token : NULL, NULL};
    bool attended = carve_attend(view, text, below(9) ? &o : NULL, &attention).code == CARVE_OK;
    if (carve_read_attention(attention, &reading).code == CARVE_OK) {
        const size_t rows = reading.step_count * reading.layer_count;
        if (!attended) die("attention without a pass");
        if (!(reading.rows[rows * reading.positions - 1] >= 0)) die("a row that is none");
    }
    carve_attention_free(attention);
}

/* Compare with the view's own image, another one, or none. */
static void try_change(carve_view *view, const carve_image *own) {
    static const uint8_t pixels[64 * 64 * 3];
    carve_image other = *own;
    double change = -1;
    if (below(2) && other.pixels) other.pixels = pixels;
    if (below(3) == 0) other.width = (int32_t)below(65);
    const carve_code code =
        carve_change(view, below(9) ? &other : NULL, below(9) ? &change : NULL).code;
    if (code == CARVE_OK && !(change >= 0)) die("a change below 0");
}

/* Call with options, an image and a question that are each right or wrong. */
static void try_call(carve_model *model) {
    static uint8_t pixels[64 * 64 * 3];
    static const double numbers[] = {0, 0.05, 0.5, 1, -1, 2, 1e300, -1e300};
    static const int32_t sizes[] = {0, 1, 2, 3, 40, 64, -1, INT32_MIN};
    static const char *const questions[] = {"What is it?", "", " ", "\xff", "\xc3", "{text}", "</s>"};
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)below(256);
    carve_image image = {below(9) ? pixels : NULL, sizes[below(8)], sizes[below(8)],
                         below(3) ? 0 : below(400)};
    if (image.row_bytes > 192) image.row_bytes = 192;
    carve_view *view;
    carve_result *result;
    carve_reading reading;
    reading.struct_size = below(9) ? sizeof reading : below(500);
    carve_ask_options o;
    o.struct_size = sizeof o;
    if (carve_defaults(model, &o).code != CARVE_OK) die("no defaults");
    int32_t layers[] = {(int32_t)below(6) - 1, (int32_t)below(4)};
    if (!below(3)) o.layers = layers, o.layer_count = below(3);
    if (!below(4)) o.struct_size = below(500);
    o.steps = (carve_steps)(below(5) - 1);
    o.strategy = (carve_strategy)below(4);
    o.final_prompt = (carve_final_prompt)below(3);
    o.mask_top_p = numbers[below(8)];
    o.outlier_percent = numbers[below(8)];
    o.regularizer = numbers[below(8)];
    o.max_regions = sizes[below(8)];
    o.contrast = (carve_contrast)below(4);
    if (!below(4)) o.method = (carve_method)below(9);
    o.max_refined_pixels = sizes[below(8)];
    o.max_new_tokens = below(4) ? 2 : sizes[below(8)];
    if (!below(4)) o.early_exit = sizes[below(4)], o.steps = CARVE_STEPS_FIRST;
    if (!below(4)) o.adaptive = sizes[below(4)];
    if (!below(4)) o.resize_refined = (carve_resize_refined)below(5);
    o.sure_probability = numbers[below(8)];
    o.focused_entropy = numbers[below(8)];
    o.scout_pixels = below(9) ? 0 : sizes[below(8)];
    o.final_pixels = below(9) ? 0 : sizes[below(8)];
    o.on_token = below(2) ? on_token : NULL;
    carve_set_variant(below(9) ? &o : NULL, (carve_variant)below(6));
    carve_cancel(model, below(40) == 0);
    carve_look_options l = {below(9) ? sizeof l : below(40), below(9) ? 0 : sizes[below(8)]};
    carve_model *looking = below(9) ? model : NULL;
    bool looked = (below(2) ? carve_look(looking, &image, &view)
                            : carve_look_with(looking, &image, below(9) ? &l : NULL, &view))
                      .code == CARVE_OK;
    bool asked = carve_ask(view, below(9) ? questions[below(7)] : NULL, below(9) ? &o : NULL,
                           &result).code == CARVE_OK;
    if (asked && !looked) die("an answer without a view");
    carve_read(result, &reading);
    carve_result_free(result);
    carve_plain(view, questions[below(7)], 1, &result);
    carve_result_free(result);
    try_change(view, &image);
    try_pair(view, questions[below(7)]);
    try_attend(view, below(9) ? questions[below(7)] : NULL);
    carve_view_free(view);
}

int main(int argc, char **argv) {
    if (argc < 5) die("usage: mutate BUNDLE SCRATCH COUNT SEED [files]");
    bool calls = argc == 5;
    char path[4096], *manifest_text, *tokenizer_text;
    size_t manifest_size, tokenizer_size;
    scope memory = {NULL};
    manifest m = {0};
    tokenizer *t;
    carve_model *model = NULL;
    state = strtoull(argv[4], NULL, 10) * 2 + 1;
    snprintf(path, sizeof path, "%s/carve.json", argv[1]);
    if (manifest_open(&memory, argv[1], true, &m).code != CARVE_OK ||
        tokenizer_open(&memory, &m, NULL, &t).code != CARVE_OK ||
        read_file(&memory, path, 1 << 26, &manifest_text, &manifest_size).code != CARVE_OK ||
        read_file(&memory, m.tokenizer, 1 << 26, &tokenizer_text, &tokenizer_size).code != CARVE_OK ||
        (calls && carve_open(argv[1], NULL, &model).code != CARVE_OK)) {
        die("the bundle cannot be opened");
    }
    for (long i = 0, count = strtol(argv[3], NULL, 10); i < count; i++) {
        int kind = (int)(i % 100);
        if (kind < 40) {
            try_file(argv[2], "carve.json", manifest_text, manifest_size, false);
        } else if (kind < 70) {
            try_file(argv[2], "tokenizer.json", tokenizer_text, tokenizer_size, true);
        } else if (kind < 99 || !calls) {
            try_question(t);
        } else {
            try_call(model);
        }
    }
    carve_model_free(model);
    scope_release(&memory);
    printf("%s inputs\n", argv[3]);
    return 0;
}

/*
 * answer [OPTIONS] BUNDLE PICTURE QUESTION [REFINED.png]: ask about a PPM, PNG or JPEG picture.
 *
 *   --json            print one object, with the names of `carve-run ask --json`, and the token ids
 *   --prompts FILE    made by `carve-export prompt`, for a tokenizer that the library does not run
 *   --provider NAME   ONNX Runtime's, CUDAExecutionProvider for instance
 *   --device NUMBER   of the provider's devices
 */
#include <cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "picture.h"

enum { LEAST_ARGUMENTS = 3, MOST_ARGUMENTS = 4 };

typedef struct request {
    carve_open_options options;
    int json;
    const char *bundle, *picture, *question, *refined;
} request;

static int report(carve_status status) {
    fprintf(stderr, "error %d: %s\n", (int)status.code, status.message);
    return 1;
}

/* Read the command line; -1 if it is not one. */
static int read_arguments(int argc, char **argv, request *r) {
    const char *arguments[MOST_ARGUMENTS] = {NULL};
    int count = 0;
    for (int i = 1; i < argc; i++) {
        const char *value = argv[i + 1]; /* NULL behind the last */
        if (strncmp(argv[i], "--", 2) != 0) {
            if (count == MOST_ARGUMENTS) return -1;
            arguments[count++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--json") == 0) {
            r->json = 1;
            continue;
        }
        if (!value) return -1;
        if (strcmp(argv[i], "--prompts") == 0) {
            r->options.prompts = value;
        } else if (strcmp(argv[i], "--provider") == 0) {
            r->options.provider = value;
        } else if (strcmp(argv[i], "--device") == 0) {
            char *end;
            const long long number = strtoll(value, &end, 10); /* at its ends beyond its range */
            if (end == value || *end || number < INT32_MIN || number > INT32_MAX) return -1;
            r->options.device = (int32_t)number;
        } else {
            return -1;
        }
        i++;
    }
    r->bundle = arguments[0], r->picture = arguments[1], r->question = arguments[2];
    r->refined = arguments[3];
    return count < LEAST_ARGUMENTS ? -1 : 0;
}

static void add_text(cJSON *object, const char *name, const char *text) {
    cJSON_AddItemToObject(object, name, text ? cJSON_CreateString(text) : cJSON_CreateNull());
}

static void add_numbers(cJSON *object, const char *name, const int64_t *numbers, size_t count) {
    cJSON *array = cJSON_AddArrayToObject(object, name);
    for (size_t i = 0; i < count; i++) {
        cJSON_AddItemToArray(array, cJSON_CreateNumber((double)numbers[i]));
    }
}

static int print_json(const carve_reading *r) {
    const int64_t box[] = {r->box[0], r->box[1], r->box[2], r->box[3]};
    const int64_t size[] = {r->width, r->height};
    const int64_t refined[] = {r->refined_width, r->refined_height};
    size_t pixels = (size_t)r->width * (size_t)r->height, kept = 0;
    for (size_t i = 0; i < pixels; i++) kept += r->mask[i];
    cJSON *object = cJSON_CreateObject();
    add_text(object, "answer", r->answer);
    add_text(object, "plain_answer", r->plain_answer);
    add_numbers(object, "ids", r->ids, r->id_count);
    add_numbers(object, "plain_ids", r->plain_ids, r->plain_id_count);
    add_numbers(object, "bbox", box, 4);
    add_numbers(object, "image_size", size, 2);
    add_numbers(object, "refined_size", refined, 2);
    cJSON_AddBoolToObject(object, "refined_limited", r->refined_limited);
    cJSON_AddNumberToObject(object, "mask_share", (double)kept / (double)pixels);
    char *printed = cJSON_PrintUnformatted(object);
    if (printed) puts(printed);
    cJSON_free(printed);
    cJSON_Delete(object);
    return printed ? 0 : report((carve_status){CARVE_NO_MEMORY, "The answer is not printed."});
}

static void print_ids(const int64_t *ids, size_t count) {
    printf("ids");
    for (size_t i = 0; i < count; i++) printf(" %lld", (long long)ids[i]);
    putchar('\n');
}

/* Where the library cannot decode the answer, its ids. */
static void print_answer(const char *name, const char *text, const int64_t *ids, size_t count) {
    printf("%-6s ", name);
    if (text) {
        puts(text);
    } else {
        print_ids(ids, count);
    }
}

static int show(const carve_result *result, const request *asked) {
    carve_reading r = {sizeof r};
    carve_status status = carve_read(result, &r);
    if (status.code != CARVE_OK) return report(status);
    if (asked->refined &&
        write_png(asked->refined, r.refined, r.refined_width, r.refined_height) != 0) {
        return 1;
    }
    if (asked->json) return print_json(&r);
    if (r.plain_ids) print_answer("plain", r.plain_answer, r.plain_ids, r.plain_id_count);
    print_answer("CARVE", r.answer, r.ids, r.id_count);
    printf("box    (%d, %d, %d, %d) scaled to %d x %d\n", (int)r.box[0], (int)r.box[1],
           (int)r.box[2], (int)r.box[3], (int)r.refined_width, (int)r.refined_height);
    return 0;
}

int main(int argc, char **argv) {
    request asked = {.options = {.struct_size = sizeof asked.options}};
    carve_image image;
    carve_model *model = NULL;
    carve_view *view = NULL;
    carve_result *result = NULL;
    if (read_arguments(argc, argv, &asked) != 0) {
        fprintf(stderr,
                "usage: %s [--json] [--prompts FILE] [--provider NAME] [--device NUMBER] BUNDLE "
                "PICTURE QUESTION [REFINED.png]\n",
                argv[0]);
        return 2;
    }
    if (read_picture(asked.picture, &image) != 0) return 1;
    carve_status status = carve_open(asked.bundle, &asked.options, &model);
    if (status.code == CARVE_OK) status = carve_look(model, &image, &view);
    if (status.code == CARVE_OK) status = carve_ask(view, asked.question, NULL, &result);
    int failed = status.code == CARVE_OK ? show(result, &asked) : report(status);
    carve_result_free(result);
    carve_view_free(view);
    carve_model_free(model);
    free((void *)image.pixels);
    return failed;
}

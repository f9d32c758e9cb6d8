/*
 * caches BUNDLE: a prefix, then one pass behind it that fits and one that does not. Prints the
 * prefix's capacity and whether its keys and values are where they were, after each of the three,
 * and after a second prefix that takes the buffers of the first.
 */
#include <stdio.h>
#include <stdlib.h>

#include "handles.h"

static void check(carve_status status) {
    if (status.code == CARVE_OK) return;
    fprintf(stderr, "caches: %s\n", status.message);
    exit(1);
}

/* Print what has become of a prefix, and return where its keys of the first layer are. */
static const void *show(const runtime *ort, const prefix *p, const void *before) {
    void *keys;
    if (ort->api->GetTensorMutableData(p->filled.parts[0].values[0], &keys)) exit(1);
    printf("%lld %s\n", (long long)p->filled.capacity, keys == before ? "stayed" : "moved");
    return keys;
}

static void answer(carve_model *model, prefix *p, const encoded_image *image, int32_t steps) {
    const request r = {.prompt = &model->bundle.single,
                       .text = "?",
                       .images = {image, NULL},
                       .max_new_tokens = steps};
    scope temporary = {NULL};
    pass unused;
    check(generate(&temporary, model, p, &r, &unused));
    scope_release(&temporary);
}

int main(int argc, char **argv) {
    enum { SIDE = 64 };
    static const uint8_t black[SIDE * SIDE * 3];
    const picture picture = {black, SIDE, SIDE};
    carve_open_options options = {.struct_size = sizeof options, .threads = 1};
    carve_model model = {.users = 1};
    encoded_image image;
    prefix p;
    if (argc != 2) return 2;
    check(model_open(&model, argv[1], &options));
    check(encode_image(&model.memory, &model, &picture, 0, 0, 1, &image));
    check(prefix_open(&model, &image, &p));
    const void *keys = show(&model.ort, &p, NULL);
    answer(&model, &p, &image, 1);
    keys = show(&model.ort, &p, keys);
    int64_t room = p.filled.capacity ? p.filled.capacity - p.filled.length : 1;
    answer(&model, &p, &image, (int32_t)room);
    keys = show(&model.ort, &p, keys);
    prefix_release(&model, &p);
    check(prefix_open(&model, &image, &p));
    show(&model.ort, &p, keys);
    prefix_release(&model, &p);
    cache_release(&model.idle);
    scope_release(&model.memory);
    return 0;
}

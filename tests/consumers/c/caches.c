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
static const void *show(const runtime *ort, const cache *prefix, const void *before) {
    void *keys;
    if (ort->api->GetTensorMutableData(prefix->values[0], &keys)) exit(1);
    printf("%lld %s\n", (long long)prefix->capacity, keys == before ? "stayed" : "moved");
    return keys;
}

static void answer(carve_model *model, cache *prefix, const void *features, int32_t steps) {
    const void *const images[2] = {features, NULL};
    scope temporary = {NULL};
    pass unused;
    check(generate(&temporary, model, prefix, &model->bundle.single, "?", images, steps, &unused));
    scope_release(&temporary);
}

int main(int argc, char **argv) {
    carve_open_options options = {.struct_size = sizeof options, .threads = 1};
    carve_model model = {.users = 1};
    cache prefix = {.capacity = 0};
    if (argc != 2) return 2;
    check(model_open(&model, argv[1], &options));
    const size_t numbers = (size_t)(image_tokens(&model.bundle) * model.bundle.hidden_size);
    const void *features = scope_alloc(&model.memory, numbers, element_size(model.bundle.dtype));
    if (!features) return 1;
    check(prefill(&model, features, &prefix));
    const void *keys = show(&model.ort, &prefix, NULL);
    answer(&model, &prefix, features, 1);
    keys = show(&model.ort, &prefix, keys);
    int64_t room = prefix.capacity ? prefix.capacity - prefix.length : 1;
    answer(&model, &prefix, features, (int32_t)room);
    keys = show(&model.ort, &prefix, keys);
    cache_release(&model, &prefix);
    check(prefill(&model, features, &prefix));
    show(&model.ort, &prefix, keys);
    cache_release(&model, &prefix);
    scope_release(&model.idle.memory);
    scope_release(&model.memory);
    return 0;
}

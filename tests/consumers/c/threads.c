/*
 * threads BUNDLE ROUNDS: two threads look and ask, each with a model of its own, while two others
 * forbid and allow the runs of both. Every call must be answered or cancelled, and afterwards,
 * allowed again, both models must answer.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "carve.h"

enum { MODELS = 2, SIDE = 96 };

/* ONNX Runtime is not built for ThreadSanitizer, which misses what orders its accesses. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void) { return "race:libonnxruntime\n"; }

static carve_model *models[MODELS];
static long rounds;
static int stopped; /* when nobody asks any more */

static void expect(int right, carve_status status) {
    if (right) return;
    fprintf(stderr, "threads: error %d: %s\n", (int)status.code, status.message);
    _Exit(1); /* the other threads still use what exit would take down */
}

/* Look and ask once. */
static carve_status ask(carve_model *model) {
    uint8_t *pixels = malloc(3 * SIDE * SIDE);
    for (size_t i = 0; i < 3 * SIDE * SIDE; i++) pixels[i] = (uint8_t)(i * i);
    const carve_image image = {pixels, SIDE, SIDE, 0};
    carve_ask_options options = {.struct_size = sizeof options};
    carve_view *view;
    carve_result *result = NULL;
    carve_status status = carve_look(model, &image, &view);
    if (status.code == CARVE_OK) status = carve_defaults(model, &options);
    options.max_new_tokens = 2;
    if (status.code == CARVE_OK) status = carve_ask(view, "What is it?", &options, &result);
    carve_result_free(result);
    carve_view_free(view);
    free(pixels);
    return status;
}

static void *keep_asking(void *model) {
    for (long i = 0; i < rounds; i++) {
        const carve_status status = ask(model);
        expect(status.code == CARVE_OK || status.code == CARVE_CANCELLED, status);
    }
    return NULL;
}

static void *keep_cancelling(void *unused) {
    (void)unused;
    for (unsigned i = 0; !__atomic_load_n(&stopped, __ATOMIC_SEQ_CST); i++) {
        const carve_status status = carve_cancel(models[i % MODELS], i / MODELS % 2);
        expect(status.code == CARVE_OK, status);
    }
    return NULL;
}

int main(int argc, char **argv) {
    pthread_t askers[MODELS], cancellers[MODELS];
    const carve_open_options options = {.struct_size = sizeof options, .threads = 1};
    if (argc != 3) return 2;
    rounds = strtol(argv[2], NULL, 10);
    for (int i = 0; i < MODELS; i++) {
        const carve_status status = carve_open(argv[1], &options, &models[i]);
        expect(status.code == CARVE_OK, status);
    }
    for (int i = 0; i < MODELS; i++) {
        pthread_create(&askers[i], NULL, keep_asking, models[i]);
        pthread_create(&cancellers[i], NULL, keep_cancelling, NULL);
    }
    for (int i = 0; i < MODELS; i++) pthread_join(askers[i], NULL);
    __atomic_store_n(&stopped, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; i < MODELS; i++) pthread_join(cancellers[i], NULL);
    for (int i = 0; i < MODELS; i++) {
        carve_status status = carve_cancel(models[i], 0);
        if (status.code == CARVE_OK) status = ask(models[i]);
        expect(status.code == CARVE_OK, status);
        carve_model_free(models[i]);
    }
    puts("answered");
    return 0;
}

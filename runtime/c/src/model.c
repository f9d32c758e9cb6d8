/* A loaded bundle: its manifest, its tokenizer and its graphs. */
#include <stdio.h>

#include "handles.h"

enum { CACHES_PER_LAYER = 2, LONGEST_NAME = 64 };

/* Write the names of each layer's key and value, in the decoder's order. */
static carve_status cache_names(scope *owner, const char *prefix, size_t count,
                                const char **names) {
    for (size_t i = 0; i < count; i++) {
        char name[LONGEST_NAME];
        snprintf(name, sizeof name, "%s.%zu.%s", prefix, i / CACHES_PER_LAYER,
                 i % CACHES_PER_LAYER ? "value" : "key");
        names[i] = scope_copy(owner, name);
        if (!names[i]) return no_memory();
    }
    return carve_ok;
}

static carve_status name_decoder_tensors(carve_model *model) {
    scope *owner = &model->memory;
    size_t count = model->cache_count = CACHES_PER_LAYER * (size_t)model->bundle.layers;
    model->past_names = scope_alloc(owner, count, sizeof *model->past_names);
    model->output_names = scope_alloc(owner, OUTPUT_PRESENT + count, sizeof *model->output_names);
    if (!model->past_names || !model->output_names) return no_memory();
    model->output_names[OUTPUT_LOGITS] = NAME_LOGITS;
    model->output_names[OUTPUT_LAST_ROW] = NAME_LAST_ROW;
    TRY(cache_names(owner, NAME_PAST_PREFIX, count, model->past_names));
    return cache_names(owner, NAME_PRESENT_PREFIX, count, model->output_names + OUTPUT_PRESENT);
}

static carve_status open_graphs(carve_model *model) {
    const manifest *m = &model->bundle;
    const provider *p = &model->ort.provider;
    model->in_place = m->fused && (m->dtype == F16 ? p->appends_float16 : p->appends_float32);
    for (int i = 0; i < GRAPH_COUNT; i++) {
        /* The steps around the model are in double precision and integers, and embeddings are only
         * looked up: work for the CPU. */
        bool on_provider = i == GRAPH_VISION || i == GRAPH_DECODER;
        bool widens = m->widens && (on_provider || i == GRAPH_EMBED);
        TRY(session_open(&model->memory, &model->ort, m->graphs[i], on_provider, widens,
                         &model->sessions[i]));
    }
    return carve_ok;
}

carve_status model_open(carve_model *model, const char *folder,
                        const carve_open_options *options) {
    scope *owner = &model->memory;
    TRY(manifest_open(owner, folder, options->sizes_only == 1, &model->bundle));
    TRY(tokenizer_open(owner, &model->bundle, options->prompts, &model->text));
    TRY(runtime_open(owner, options, &model->ort));
    TRY(open_graphs(model));
    return name_decoder_tensors(model);
}

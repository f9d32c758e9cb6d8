/* A loaded bundle: its manifest, its tokenizer and its graphs. */
#include <stdio.h>

#include "handles.h"

enum { CACHES_PER_LAYER = 2, LONGEST_NAME = 64 };

/* Write the names of each layer's key and value, in the decoder's order. */
static carve_status cache_names(scope *owner, const char *prefix, const part_spec *part,
                                const char **names) {
    const size_t count = CACHES_PER_LAYER * (size_t)(part->stop - part->first);
    for (size_t i = 0; i < count; i++) {
        char name[LONGEST_NAME];
        snprintf(name, sizeof name, "%s.%zu.%s", prefix, (size_t)part->first + i / CACHES_PER_LAYER,
                 i % CACHES_PER_LAYER ? "value" : "key");
        names[i] = scope_copy(owner, name);
        if (!names[i]) return no_memory();
    }
    return carve_ok;
}

/* Name what goes into a part of the decoder and what comes out: first what comes to the host. */
static carve_status name_tensors(scope *owner, decoder_part *part) {
    const part_spec *spec = part->spec;
    const size_t caches = CACHES_PER_LAYER * (size_t)(spec->stop - spec->first);
    part->cache_count = caches;
    part->past_names = scope_alloc(owner, caches, sizeof *part->past_names);
    part->output_names = scope_alloc(owner, 2 + caches, sizeof *part->output_names);
    if (!part->past_names || !part->output_names) return no_memory();
    if (spec->tapped) part->output_names[part->output_count++] = NAME_LAST_ROW;
    part->output_names[part->output_count++] = spec->output;
    TRY(cache_names(owner, NAME_PAST_PREFIX, spec, part->past_names));
    TRY(cache_names(owner, NAME_PRESENT_PREFIX, spec, part->output_names + part->output_count));
    part->output_count += caches;
    return carve_ok;
}

static carve_status open_graphs(carve_model *model) {
    const manifest *m = &model->bundle;
    const provider *p = &model->ort.provider;
    model->in_place = m->fused && (m->dtype == F16 ? p->appends_float16 : p->appends_float32);
    for (int i = 0; i < GRAPH_COUNT; i++) {
        /* The steps around the model are in double precision and integers, and embeddings are only
         * looked up: work for the CPU. */
        bool on_provider = i == GRAPH_VISION;
        bool widens = m->widens && (on_provider || i == GRAPH_EMBED);
        TRY(session_open(&model->memory, &model->ort, m->graphs[i], on_provider, widens,
                         &model->sessions[i]));
    }
    for (size_t i = 0; i < m->part_count; i++) {
        decoder_part *part = &model->parts[i];
        part->spec = &m->parts[i];
        TRY(name_tensors(&model->memory, part));
        TRY(session_open(&model->memory, &model->ort, part->spec->path, true, m->widens,
                         &part->session));
    }
    return carve_ok;
}

carve_status model_open(carve_model *model, const char *folder,
                        const carve_open_options *options) {
    scope *owner = &model->memory;
    TRY(manifest_open(owner, folder, options->sizes_only == 1, &model->bundle));
    TRY(tokenizer_open(owner, &model->bundle, options->prompts, &model->text));
    TRY(runtime_open(owner, options, &model->ort));
    return open_graphs(model);
}

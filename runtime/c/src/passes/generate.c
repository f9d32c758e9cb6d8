/* Greedy passes behind a prefix. */
#include <math.h>
#include <string.h>

#include "passes/listen.h"

enum { FIRST_STEPS = 4 }; /* that there is room for; it grows with the answer */

static int64_t largest(const float *logits, int64_t count) {
    int64_t best = 0;
    for (int64_t i = 1; i < count; i++) {
        if (logits[i] > logits[best]) best = i;
    }
    return best;
}

/* The softmax of the logits at one token. */
static double probability(const float *logits, int64_t count, int64_t token) {
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)expf(logits[i] - logits[token]);
    return 1 / sum;
}

static bool ends_answer(const manifest *m, int64_t id) {
    for (size_t i = 0; i < m->eos_count; i++) {
        if (m->eos[i] == id) return true;
    }
    return false;
}

/* Room for the attention of one step more. */
static carve_status make_step(scope *owner, size_t width, size_t *room, pass *out) {
    if (out->steps < *room) return carve_ok;
    const size_t larger = *room ? 2 * *room : FIRST_STEPS;
    float *attention = scope_rows(owner, larger, width, sizeof *attention);
    if (!attention) return no_memory();
    if (out->steps) memcpy(attention, out->attention, out->steps * width * sizeof *attention);
    out->attention = attention;
    *room = larger;
    return carve_ok;
}

size_t heads_of_rows(const carve_model *model) {
    return model->bundle.row_heads ? (size_t)model->bundle.row_heads : 1;
}

float mean_over_heads(const float *from, size_t heads, int64_t row_length) {
    float sum = 0;
    for (size_t head = 0; head < heads; head++) sum += from[(int64_t)head * row_length];
    return sum / (float)heads;
}

/* Append a step's attention to the tokens of the first image's map. */
static carve_status keep_attention(scope *owner, const carve_model *model, const step *current,
                                   int64_t image_start, const encoded_image *image, size_t *room,
                                   pass *out) {
    const size_t tokens = image->map_count;
    const size_t heads = heads_of_rows(model);
    const int64_t length = current->row_length;
    TRY(make_step(owner, out->rows * tokens, room, out));
    float *to = out->attention + out->steps++ * out->rows * tokens;
    for (size_t part = 0; part < model->bundle.part_count; part++) {
        const float *from = current->rows[part];
        for (size_t row = 0; from && row < model->parts[part].spec->tapped; row++) {
            for (size_t i = 0; i < tokens; i++) {
                to[i] = mean_over_heads(from + image_start + image->map[i], heads, length);
            }
            for (size_t i = 0; i < tokens; i++) {
                if (isfinite(to[i])) continue;
                return failure(CARVE_RUN_ERROR, "The decoder's attention is not finite. Check the "
                                                "bundle with carve-run info --verify.");
            }
            from += (int64_t)heads * length;
            to += tokens;
        }
    }
    return carve_ok;
}

/* Decode from the prefix until the answer ends; the two caches take turns as old and new. */
static carve_status decode(scope *owner, carve_model *model, const prefix *p, const request *r,
                           const chunk *beginning, const listening *heard, cache caches[2],
                           pass *out) {
    const manifest *m = &model->bundle;
    const int64_t image_start = p->filled.length - (int64_t)r->images[0]->length;
    const cache *before = &p->filled;
    chunk in = *beginning;
    scope token = {NULL};
    size_t room = 0;
    carve_status status = carve_ok;
    for (int turn = 0; status.code == CARVE_OK; turn ^= 1) {
        cache *after = &caches[turn];
        step current;
        cache_release(after);
        status = run_decoder(model, &in, before, 0, r->lower ? 1 : m->part_count, after, &current);
        if (status.code == CARVE_OK) {
            status = keep_attention(owner, model, &current, image_start, r->images[0], &room, out);
        }
        if (status.code == CARVE_OK && r->watched.on_step) {
            status = r->watched.on_step(r->watched.context, model, &current, after->length);
        }
        if (status.code != CARVE_OK || r->lower) break;
        int64_t *id = &out->ids[out->id_count];
        *id = largest(current.logits, m->vocab_size);
        out->probability *= probability(current.logits, m->vocab_size, *id);
        if (ends_answer(m, *id)) break;
        out->id_count++;
        status = listening_tell(heard, *id);
        if (status.code != CARVE_OK || out->steps == (size_t)r->max_new_tokens) break;
        scope_release(&token);
        status = embed_token(&token, model, id, after->next_position, &in);
        before = after;
    }
    scope_release(&token);
    return status.code == CARVE_OK ? listening_end(heard) : status;
}

carve_status generate(scope *owner, carve_model *model, prefix *prefix, const request *r,
                      pass *out) {
    const manifest *m = &model->bundle;
    cache caches[2] = {{.capacity = 0}, {.capacity = 0}};
    scope temporary = {NULL};
    listening heard;
    chunk in;
    *out = (pass){.rows = r->lower ? m->parts[0].tapped : m->tapped_count, .probability = 1};
    out->ids = scope_alloc(owner, (size_t)r->max_new_tokens, sizeof *out->ids);
    if (!out->ids) return no_memory();
    carve_status status = embed_prompt(&temporary, model, r, m->prefix, r->prompt->count,
                                       prefix->filled.next_position, &in);
    if (status.code == CARVE_OK) {
        status = prefix_ready(model, r->images[0], in.count + r->max_new_tokens - 1, r->lower,
                              prefix);
    }
    if (status.code == CARVE_OK) status = listening_open(&temporary, model, r, &heard);
    if (status.code == CARVE_OK) {
        status = decode(owner, model, prefix, r, &in, &heard, caches, out);
    }
    cache_release(&caches[0]);
    cache_release(&caches[1]);
    scope_release(&temporary);
    return status;
}

/* The attention of a pass to the image: the layers that are fused, and how widely it spreads. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "handles.h"

carve_status chosen_rows(scope *owner, const manifest *m, const carve_ask_options *o,
                         const pass *from, size_t steps, size_t tokens, const float **rows) {
    const size_t layers = o->layer_count;
    float *to = scope_rows(owner, steps * layers, tokens, sizeof *to);
    if (!to) return no_memory();
    *rows = to;
    for (size_t step = 0; step < steps; step++) {
        for (size_t i = 0; i < layers; i++, to += tokens) {
            size_t row = 0;
            while (m->tapped[row] != o->layers[i]) row++; /* it is there: settings_check */
            memcpy(to, from->attention + (step * from->rows + row) * tokens, tokens * sizeof *to);
        }
    }
    return carve_ok;
}

double attention_entropy(const float *rows, size_t count, size_t tokens) {
    double entropy = 0;
    for (size_t row = 0; row < count; row++, rows += tokens) {
        double sum = 0;
        for (size_t i = 0; i < tokens; i++) sum += rows[i];
        for (size_t i = 0; i < tokens; i++) {
            double share = rows[i] / fmax(sum, DBL_MIN);
            if (share > 0) entropy -= share * log(share);
        }
    }
    return entropy / (double)count;
}

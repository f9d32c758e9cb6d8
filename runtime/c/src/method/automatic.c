/* Settings that follow from the attention itself (docs/method.md, "Automatic settings"). */
#include <float.h>
#include <math.h>

#include "handles.h"

static double mean_of(const float *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) sum += values[i];
    return sum / (double)count;
}

static double covariance(const float *left, const float *right, size_t count) {
    double left_mean = mean_of(left, count), right_mean = mean_of(right, count), sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (left[i] - left_mean) * (right[i] - right_mean);
    }
    return sum / (double)count;
}

/* The share of one map's variance that the other explains: the squared correlation, 0 if it is
 * negative. */
static double shared_variance(const float *question, const float *general, size_t count) {
    double norms = sqrt(covariance(question, question, count) * covariance(general, general, count));
    double correlation = norms > 0 ? covariance(question, general, count) / norms : 0;
    return correlation <= 0 ? 0 : fmin(correlation, 1) * fmin(correlation, 1);
}

/* Lambda of a map (paper, proposition C.5): its variance that is not shared, over its mean. */
static double noise(const float *map, double shared, size_t count) {
    double level = mean_of(map, count);
    return fmax(covariance(map, map, count) * (1 - shared) / level, FLT_EPSILON * level);
}

carve_status automatic_divisor(scope *owner, const carve_ask_options *o, const maps *fused,
                               const float **divisor, double *added) {
    const size_t tokens = fused->tokens, count = fused->steps * fused->layers;
    const bool automatic = o->regularizer == CARVE_AUTO;
    double explained = 0, weighted = 0;
    float *by = scope_rows(owner, count, tokens, sizeof *by);
    if (!by) return no_memory();
    *divisor = by;
    *added = automatic ? 0 : o->regularizer;
    for (size_t i = 0; i < count * tokens; i++) by[i] = 1;
    for (size_t map = 0; fused->general && map < count; map++) {
        if (!fused->step_weights[map / fused->layers]) continue;
        const float *asked = fused->question + map * tokens;
        const float *described = fused->general + map * tokens;
        double shared = shared_variance(asked, described, tokens);
        float lambda = automatic ? (float)noise(described, shared, tokens) : 0;
        for (size_t i = 0; i < tokens; i++) by[map * tokens + i] = described[i] + lambda;
        explained += shared;
        weighted++;
    }
    if (fused->general && (o->contrast == CARVE_CONTRAST_ON || explained / weighted > 0.5)) {
        return carve_ok;
    }
    for (size_t i = 0; i < count * tokens; i++) by[i] = 1;
    *added = 0;
    return carve_ok;
}

double automatic_share(const float *saliency, size_t count) {
    double largest = 0, sum = 0, squares = 0, pixels = 0;
    for (size_t i = 0; i < count; i++) { /* no fmax: GCC 12 for aarch64 fails to compile it at -O3 */
        if (saliency[i] > largest) largest = saliency[i]; /* never NaN */
    }
    for (size_t i = 0; i < count; i++) {
        if (isnan(saliency[i])) continue;
        double level = largest > 0 ? saliency[i] / largest : 1; /* squares neither overflow nor vanish */
        sum += level;
        squares += level * level;
        pixels++;
    }
    return sum * sum / squares / pixels;
}

/* How much a picture differs from a view, as the model sees both. */
#include <math.h>

#include "handles.h"

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The mean over the planes of one cell. */
static double cell_change(const sight *s, const float *before, const float *after,
                          const double *levels, int64_t top, int64_t left) {
    const int64_t bottom = least(top + CHANGE_CELL, s->height);
    const int64_t right = least(left + CHANGE_CELL, s->width);
    double sum = 0;
    for (int64_t plane = 0; plane < s->planes; plane++) {
        const double level = levels[plane * COLORS / s->planes];
        for (int64_t y = top; y < bottom; y++) {
            const int64_t row = (plane * s->height + y) * s->width;
            for (int64_t x = left; x < right; x++) {
                sum += level * fabsf(after[row + x] - before[row + x]);
            }
        }
    }
    return sum / (double)(s->planes * (bottom - top) * (right - left));
}

static double largest_change(const sight *before, const sight *after, const double *levels) {
    const int64_t size = before->planes * before->height * before->width;
    double most = 0;
    for (int64_t i = 0; i < before->count * size; i += size) {
        for (int64_t y = 0; y < before->height; y += CHANGE_CELL) {
            for (int64_t x = 0; x < before->width; x += CHANGE_CELL) {
                const double change =
                    cell_change(before, before->values + i, after->values + i, levels, y, x);
                if (change > most) most = change;
            }
        }
    }
    return most;
}

static carve_status compare(scope *temporary, carve_view *view, const picture *other,
                            double *change) {
    const carve_model *model = view->model;
    const sight *seen = &view->seen;
    sight now;
    if (!seen->values) {
        TRY(see_image(&view->memory, model, &view->image, &view->scout_pixels, &view->seen));
    }
    TRY(see_image(temporary, model, other, &view->scout_pixels, &now));
    if (now.count != seen->count || now.planes != seen->planes || now.height != seen->height ||
        now.width != seen->width) {
        return failure(CARVE_BUNDLE_ERROR,
                       "%s made two images of one size into different ones. Copy the bundle again, "
                       "or export it again.",
                       NAME_PREPROCESS);
    }
    *change = largest_change(seen, &now, model->bundle.levels);
    return carve_ok;
}

carve_status measure_change(carve_view *view, const picture *other, double *change) {
    scope temporary = {NULL};
    if (other->width != view->image.width || other->height != view->image.height) {
        *change = INFINITY;
        return carve_ok;
    }
    carve_status status = compare(&temporary, view, other, change);
    scope_release(&temporary);
    return status;
}

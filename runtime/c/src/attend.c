/* The public calls about attention. */
#include <stdlib.h>

#include "handles.h"

carve_status carve_attend(carve_view *view, const char *text, const carve_attend_options *options,
                          carve_attention **attention) {
    carve_attend_options o = {sizeof o, 0, NULL, NULL};
    if (!attention) return missing("The attention's address");
    *attention = NULL;
    if (!view) return missing("The view");
    if (options) TRY(struct_take("carve_attend_options", &o, sizeof o, options, sizeof o));
    if (o.generate < 0) {
        return failure(CARVE_SETTINGS_ERROR, "generate is %d. Give at least 1, or 0 for one step.",
                       (int)o.generate);
    }
    if (!o.generate) o.generate = 1;
    carve_attention *attended = calloc(1, sizeof *attended);
    if (!attended) return no_memory();
    const counts before = view->model->work;
    scope temporary = {NULL};
    carve_status status = method_attend(view, &temporary, text, &o, attended);
    scope_release(&temporary);
    note_work(view, &before);
    if (status.code == CARVE_OK) {
        *attention = attended;
    } else {
        carve_attention_free(attended);
    }
    return status;
}

carve_status carve_read_attention(const carve_attention *attention,
                                  carve_attention_reading *reading) {
    if (!attention) return missing("The attention");
    if (!reading) return missing("The reading's address");
    return struct_give("carve_attention_reading", &attention->reading, sizeof *reading, reading,
                       sizeof *reading);
}

void carve_attention_free(carve_attention *attention) {
    if (!attention) return;
    scope_release(&attention->memory);
    free(attention);
}

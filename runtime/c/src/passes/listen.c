/* Text while it is generated. */
#include "passes/listen.h"

carve_status listening_open(scope *owner, const carve_model *model, const request *r,
                            listening *out) {
    *out = (listening){r, NULL};
    return r->heard.on_token ? text_stream_open(owner, model->text, &out->stream) : carve_ok;
}

/* Pass a piece on, unless nothing is complete. */
static carve_status pass_on(const listening *l, const char *piece) {
    const listener *heard = &l->about->heard;
    if (!*piece || !heard->on_token(heard->context, l->about->stage, piece)) return carve_ok;
    return failure(CARVE_CANCELLED, "on_token ended the answer.");
}

carve_status listening_tell(const listening *l, int64_t id) {
    const char *piece;
    if (!l->stream) return carve_ok;
    TRY(text_stream_push(l->stream, id, &piece));
    return pass_on(l, piece);
}

carve_status listening_end(const listening *l) {
    const char *piece;
    if (!l->stream) return carve_ok;
    TRY(text_stream_end(l->stream, &piece));
    return pass_on(l, piece);
}

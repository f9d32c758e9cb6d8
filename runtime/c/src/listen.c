/* Text while it is generated. */
#include "handles.h"

carve_status tell(scope *owner, carve_model *model, const request *r, const pass *so_far) {
    const char *text;
    if (!r->heard.on_token) return carve_ok;
    TRY(tokenizer_decode(owner, model->text, so_far->ids, so_far->id_count, &text));
    if (!text || !r->heard.on_token(r->heard.context, r->stage, text)) return carve_ok;
    return failure(CARVE_CANCELLED, "on_token ended the answer.");
}

/* Text while it is generated, for who listens. */
#ifndef CARVE_LISTEN_H
#define CARVE_LISTEN_H

#include "handles.h"
#include "text/tokenizer.h"

/* The text of one pass on its way. */
typedef struct listening {
    const request *about;
    text_stream *stream; /* NULL if nobody listens, or answers cannot be decoded here */
} listening;

carve_status listening_open(scope *owner, const carve_model *model, const request *r,
                            listening *out);
/* Tell of an id of the answer; what the listener returns may end it. */
carve_status listening_tell(const listening *l, int64_t id);
/* Tell of what was held back, after the last id. */
carve_status listening_end(const listening *l);

#endif

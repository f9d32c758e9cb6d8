/* Text to ids and back, by a bundle's tokenizer.json or from texts encoded beforehand. */
#ifndef CARVE_TOKENIZER_H
#define CARVE_TOKENIZER_H

#include "internal.h"

enum { MOST_TOKENS = 1 << 24 };

/*
 * An answer's text while its ids come one by one. docs/bundle.md ("The text of an answer") has the
 * rule: the pieces joined are what tokenizer_decode returns of all ids. White space at the end and a
 * character whose bytes are not complete wait for what follows.
 */
typedef struct text_stream text_stream;

/* Begin an answer; the scope owns the stream. NULL if answers cannot be decoded here. */
carve_status text_stream_open(scope *owner, const tokenizer *t, text_stream **out);
/* Take an id. The piece, "" if nothing is complete, is valid until the next call. */
carve_status text_stream_push(text_stream *s, int64_t id, const char **piece);
/* End the answer: an incomplete character becomes U+FFFD. */
carve_status text_stream_end(text_stream *s, const char **piece);

/* Is a text nothing but white space? It must be UTF-8 to have any. */
bool text_is_blank(const char *text);

#endif

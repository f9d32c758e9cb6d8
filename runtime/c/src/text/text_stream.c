/* An answer's text while its ids come one by one; docs/bundle.md, "The text of an answer". */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "text/alphabet.h"
#include "text/parts.h"
#include "text/utf8.h"

static const char replacement[] = "\xef\xbf\xbd";

struct text_stream {
    const tokenizer *t;
    char incomplete[MOST_UTF8_BYTES]; /* bytes that begin a character */
    size_t incomplete_size;
    char *text;          /* the piece that is ready, and white space that waits behind it */
    size_t size, room;   /* of text */
    size_t ready;        /* bytes of the piece: up to the last character that is not white space */
    bool begun;          /* there was a character that is not white space */
    char covered;        /* what stands where the piece's zero is */
};

static void release_stream(void *stream, const void *context) {
    (void)context;
    free(((text_stream *)stream)->text);
    free(stream);
}

carve_status text_stream_open(scope *owner, const tokenizer *t, text_stream **out) {
    *out = NULL;
    if (t->decodes.code != CARVE_OK) return carve_ok;
    text_stream *s = calloc(1, sizeof *s);
    if (!s) return no_memory();
    s->t = t;
    TRY(scope_own(owner, s, release_stream, NULL));
    *out = s;
    return carve_ok;
}

/* Make room for more bytes and a zero. */
static carve_status reserve(text_stream *s, size_t more) {
    if (s->size + more + 1 <= s->room) return carve_ok;
    size_t room = 2 * (s->size + more + 1);
    char *text = realloc(s->text, room);
    if (!text) return no_memory();
    s->text = text;
    s->room = room;
    return carve_ok;
}

/* Append a character; white space waits behind what is ready, and is dropped at the beginning. */
static carve_status append_character(text_stream *s, const char *text, int length) {
    /* U+0000 would end the text. */
    if (!*text) return append_character(s, replacement, sizeof replacement - 1);
    bool white = is_white_space(utf8_code(text, length));
    if (white && !s->begun) return carve_ok;
    TRY(reserve(s, (size_t)length));
    memcpy(s->text + s->size, text, (size_t)length);
    s->size += (size_t)length;
    if (white) return carve_ok;
    s->begun = true;
    s->ready = s->size;
    return carve_ok;
}

/* Append the characters of bytes; return in `taken` where those begin that are not complete. */
static carve_status append_characters(text_stream *s, const char *bytes, size_t size,
                                      size_t *taken) {
    for (*taken = 0; *taken < size;) {
        int length = utf8_length(bytes + *taken, size - *taken);
        if (length == 0) break;
        if (length > 0) {
            TRY(append_character(s, bytes + *taken, length));
        } else {
            TRY(append_character(s, replacement, sizeof replacement - 1));
        }
        *taken += (size_t)abs(length);
    }
    return carve_ok;
}

static carve_status append_bytes(scope *memory, text_stream *s, const char *bytes, size_t size) {
    const size_t waited = s->incomplete_size;
    char *all = scope_alloc(memory, waited + size, 1);
    size_t taken;
    if (!all) return no_memory();
    memcpy(all, s->incomplete, waited);
    memcpy(all + waited, bytes, size);
    TRY(append_characters(s, all, waited + size, &taken));
    s->incomplete_size = waited + size - taken;
    memcpy(s->incomplete, all + taken, s->incomplete_size);
    return carve_ok;
}

/* The byte that a token like <0x0A> stands for, or -1. */
static int fallback_byte(const piece *token) {
    if (token->size != sizeof "<0x0A>" - 1 || memcmp(token->text, "<0x", 3) != 0 ||
        !isxdigit((unsigned char)token->text[3]) || !isxdigit((unsigned char)token->text[4]) ||
        token->text[5] != '>') {
        return -1;
    }
    return (int)strtol(token->text + 3, NULL, 16);
}

static carve_status append_token(scope *memory, text_stream *s, const char *spelling) {
    const decoder *d = &s->t->decoder;
    pieces changed;
    TRY(apply_steps(memory, &d->steps, (piece){spelling, strlen(spelling), NO_ID}, &changed));
    if (!changed.count) return carve_ok;
    const piece token = changed.items[0];
    int byte = d->falls_back ? fallback_byte(&token) : -1;
    if (byte >= 0) return append_bytes(memory, s, &(char){(char)byte}, 1);
    if (!d->spelled) return append_bytes(memory, s, token.text, token.size);
    char *bytes = scope_alloc(memory, token.size, 1);
    if (!bytes) return no_memory();
    return append_bytes(memory, s, bytes, spelled_bytes(token.text, token.size, bytes));
}

static carve_status append_id(text_stream *s, int64_t id) {
    const tokenizer *t = s->t;
    scope temporary = {NULL};
    if (id < 0 || (size_t)id >= t->id_count || !t->spelling[id] || t->special[id]) return carve_ok;
    carve_status status = append_token(&temporary, s, t->spelling[id]);
    scope_release(&temporary);
    return status;
}

static carve_status append_end(text_stream *s) {
    if (!s->incomplete_size) return carve_ok;
    s->incomplete_size = 0;
    return append_character(s, replacement, sizeof replacement - 1);
}

/* Drop the piece that was given, so that the white space behind it comes first. */
static carve_status drop_piece(text_stream *s) {
    TRY(reserve(s, 0));
    if (s->size > s->ready) s->text[s->ready] = s->covered;
    memmove(s->text, s->text + s->ready, s->size - s->ready);
    s->size -= s->ready;
    s->ready = 0;
    return carve_ok;
}

static const char *take_piece(text_stream *s) {
    s->covered = s->size > s->ready ? s->text[s->ready] : 0;
    s->text[s->ready] = 0;
    return s->text;
}

carve_status text_stream_push(text_stream *s, int64_t id, const char **piece) {
    TRY(drop_piece(s));
    TRY(append_id(s, id));
    *piece = take_piece(s);
    return carve_ok;
}

carve_status text_stream_end(text_stream *s, const char **piece) {
    TRY(drop_piece(s));
    TRY(append_end(s));
    *piece = take_piece(s);
    return carve_ok;
}

carve_status tokenizer_decode(scope *owner, const tokenizer *t, const int64_t *ids, size_t count,
                              const char **text) {
    text_stream *s;
    *text = NULL;
    TRY(text_stream_open(owner, t, &s));
    if (!s) return carve_ok;
    for (size_t i = 0; i < count; i++) TRY(append_id(s, ids[i]));
    TRY(append_end(s));
    TRY(reserve(s, 0));
    *text = take_piece(s);
    return carve_ok;
}

/* A special token, the unknown one apart, which has no text but its name. */
static bool is_control(const tokenizer *t, int64_t id) {
    return id >= 0 && (size_t)id < t->id_count && t->spelling[id] && t->special[id] &&
           id != t->model.unknown;
}

/* What one token says by itself, white space and all; valid until the next call. */
static carve_status token_text(text_stream *s, int64_t id, const char **text) {
    if (is_control(s->t, id)) {
        *text = s->t->spelling[id];
        return carve_ok;
    }
    s->size = s->ready = 0;
    s->begun = true; /* white space at the beginning counts */
    TRY(append_id(s, id));
    TRY(append_end(s));
    TRY(reserve(s, 0));
    s->text[s->size] = 0;
    *text = s->text;
    return carve_ok;
}

carve_status tokenizer_words(scope *owner, const tokenizer *t, const int64_t *ids, size_t count,
                             const char *const **words) {
    text_stream *s;
    const char **all = scope_alloc(owner, count, sizeof *all);
    *words = NULL;
    if (!all) return no_memory();
    TRY(text_stream_open(owner, t, &s));
    if (!s) return carve_ok;
    for (size_t i = 0; i < count; i++) {
        const char *text;
        TRY(token_text(s, ids[i], &text));
        all[i] = scope_copy(owner, text);
        if (!all[i]) return no_memory();
    }
    *words = all;
    return carve_ok;
}

bool text_is_blank(const char *text) {
    for (size_t size = strlen(text); size;) {
        int length = utf8_length(text, size);
        if (length <= 0 || !is_white_space(utf8_code(text, length))) return false;
        text += length;
        size -= (size_t)length;
    }
    return true;
}

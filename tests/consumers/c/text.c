/*
 * text TOKENIZER IMAGE_TOKEN encode|decode: of each zero-ended text of standard input, write a line of ids, or
 * the number of the error; of each zero-ended list of ids, write the piece of each id, the piece of
 * the end, and the whole text, each with a zero behind it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

enum { MOST_IDS = 1 << 13, LONGEST_LINE = 1 << 16 };

static void require(carve_status status) {
    if (status.code == CARVE_OK) return;
    fprintf(stderr, "%s\n", status.message);
    exit(1);
}

static void encode(scope *owner, const tokenizer *t, const char *text) {
    int64_t *ids;
    size_t count;
    carve_status status = tokenizer_encode(owner, t, text, &ids, &count);
    if (status.code != CARVE_OK) {
        printf("error %d", status.code);
        count = 0;
    }
    for (size_t i = 0; i < count; i++) printf(i ? " %lld" : "%lld", (long long)ids[i]);
    putchar('\n');
}

static void write_text(const char *text) { fwrite(text, 1, strlen(text) + 1, stdout); }

static void decode(scope *owner, const tokenizer *t, char *list) {
    static int64_t ids[MOST_IDS];
    size_t count = 0;
    const char *text;
    text_stream *stream;
    for (char *end; count < MOST_IDS; list = end) {
        ids[count] = strtoll(list, &end, 10);
        if (end == list) break;
        count++;
    }
    require(text_stream_open(owner, t, &stream));
    for (size_t i = 0; i < count; i++) {
        require(text_stream_push(stream, ids[i], &text));
        write_text(text);
    }
    require(text_stream_end(stream, &text));
    write_text(text);
    require(tokenizer_decode(owner, t, ids, count, &text));
    write_text(text);
}

int main(int argc, char **argv) {
    static char line[LONGEST_LINE];
    scope memory = {NULL};
    manifest m = {0};
    tokenizer *t;
    size_t length = 0;
    if (argc != 4) return 2;
    m.tokenizer = argv[1];
    m.context_length = LONGEST_LINE;
    m.image_token = strtoll(argv[2], NULL, 10);
    require(tokenizer_open(&memory, &m, NULL, &t));
    for (int byte; (byte = getchar()) != EOF;) {
        if (length == sizeof line) return 2;
        line[length++] = (char)byte;
        if (byte) continue;
        scope each = {NULL};
        if (strcmp(argv[3], "encode") == 0) {
            encode(&each, t, line);
        } else {
            decode(&each, t, line);
        }
        scope_release(&each);
        length = 0;
    }
    scope_release(&memory);
    return 0;
}

/*
 * text BUNDLE encode|decode: each zero-ended text of standard input becomes a line of ids, or
 * "refused"; each zero-ended list of ids becomes a zero-ended text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static void encode(scope *owner, const tokenizer *t, const char *text) {
    int64_t *ids;
    size_t count;
    if (tokenizer_encode(owner, t, text, &ids, &count).code != CARVE_OK) {
        printf("refused");
        count = 0;
    }
    for (size_t i = 0; i < count; i++) printf(i ? " %lld" : "%lld", (long long)ids[i]);
    putchar('\n');
}

static void decode(scope *owner, const tokenizer *t, char *list) {
    int64_t ids[256];
    size_t count = 0;
    const char *text;
    for (char *end; count < 256; list = end) {
        ids[count] = strtoll(list, &end, 10);
        if (end == list) break;
        count++;
    }
    if (tokenizer_decode(owner, t, ids, count, &text).code != CARVE_OK) exit(1);
    fwrite(text, 1, strlen(text) + 1, stdout);
}

int main(int argc, char **argv) {
    static char line[1 << 14];
    scope memory = {NULL};
    manifest m = {0};
    tokenizer *t;
    size_t length = 0;
    if (argc != 3 || manifest_open(&memory, argv[1], true, &m).code != CARVE_OK ||
        tokenizer_open(&memory, &m, NULL, &t).code != CARVE_OK) {
        return 1;
    }
    for (int byte; (byte = getchar()) != EOF;) {
        line[length++] = (char)byte;
        if (byte && length < sizeof line) continue;
        scope each = {NULL};
        if (strcmp(argv[2], "encode") == 0) {
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

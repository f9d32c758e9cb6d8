/* The characters that byte-level tokenizers write for bytes: printable ones write themselves, the
 * others follow U+00FF. */
#include "text/alphabet.h"

#include <stdbool.h>
#include <string.h>

#include "text/utf8.h"

enum { FIRST_HIDDEN = 0x100 };

static bool is_printable(unsigned byte) {
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
}

size_t spell_byte(unsigned char byte, char *utf8) {
    unsigned character = byte;
    if (!is_printable(byte)) {
        character = FIRST_HIDDEN;
        for (unsigned other = 0; other < byte; other++) character += !is_printable(other);
    }
    if (character < 0x80) {
        utf8[0] = (char)character;
        return 1;
    }
    utf8[0] = (char)(0xc0 | character >> 6);
    utf8[1] = (char)(0x80 | (character & 0x3f));
    return 2;
}

/* The byte that a character stands for, or -1. */
static int byte_of(uint32_t character) {
    if (character < FIRST_HIDDEN) return is_printable(character) ? (int)character : -1;
    unsigned hidden = FIRST_HIDDEN;
    for (unsigned byte = 0; byte < FIRST_HIDDEN; byte++) {
        if (!is_printable(byte) && hidden++ == character) return (int)byte;
    }
    return -1;
}

size_t spelled_bytes(const char *text, size_t size, char *bytes) {
    size_t count = 0;
    for (size_t at = 0; at < size;) {
        int length = utf8_length(text + at, size - at);
        int byte = length > 0 ? byte_of(utf8_code(text + at, length)) : -1;
        if (byte < 0) {
            memcpy(bytes, text, size);
            return size;
        }
        bytes[count++] = (char)byte;
        at += (size_t)length;
    }
    return count;
}

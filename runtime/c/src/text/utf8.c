/* Characters as UTF-8 spells them. */
#include "text/utf8.h"

#include "internal.h"

int utf8_length(const char *text, size_t size) {
    const unsigned char *bytes = (const unsigned char *)text;
    const unsigned first = bytes[0];
    if (first < 0x80) return 1;
    if (first < 0xc2 || first > 0xf4) return -1;
    const int length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    unsigned low = 0x80, high = 0xbf; /* of the second byte: no long forms, no surrogates */
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
    for (int i = 1; i < length; i++) {
        if ((size_t)i == size) return 0;
        if (bytes[i] < low || bytes[i] > high) return -i;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

uint32_t utf8_code(const char *text, int length) {
    const unsigned char *bytes = (const unsigned char *)text;
    uint32_t code = length == 1 ? bytes[0] : bytes[0] & (0xffu >> (length + 1));
    for (int i = 1; i < length; i++) code = code << 6 | (bytes[i] & 0x3fu);
    return code;
}

bool utf8_is_valid(const char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        int length = utf8_length(text + at, size - at);
        if (length <= 0) return false;
        at += (size_t)length;
    }
    return true;
}

bool is_white_space(uint32_t code) {
    static const uint32_t ranges[][2] = {
        {0x09, 0x0d},     {0x1c, 0x20},     {0x85, 0x85},     {0xa0, 0xa0},     {0x1680, 0x1680},
        {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000},
    };
    for (size_t i = 0; i < COUNT(ranges); i++) {
        if (code >= ranges[i][0] && code <= ranges[i][1]) return true;
    }
    return false;
}

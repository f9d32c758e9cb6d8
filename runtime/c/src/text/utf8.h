/* Characters as UTF-8 spells them. */
#ifndef CARVE_UTF8_H
#define CARVE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MOST_UTF8_BYTES = 4 };

/*
 * How many bytes the character at text takes; 0 if the text ends within it; minus the number of
 * bytes that one U+FFFD stands for (Unicode 3.9, "maximal subparts") if there is none. size > 0.
 */
int utf8_length(const char *text, size_t size);
/* The code point of a character that takes so many bytes. */
uint32_t utf8_code(const char *text, int length);
bool utf8_is_valid(const char *text, size_t size);
/* What Python's str.strip() removes: Unicode's White_Space, and U+001C to U+001F. */
bool is_white_space(uint32_t code);

#endif

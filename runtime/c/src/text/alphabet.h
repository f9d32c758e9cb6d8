/* The characters that byte-level tokenizers write for bytes, as GPT-2 does. */
#ifndef CARVE_ALPHABET_H
#define CARVE_ALPHABET_H

#include <stddef.h>

enum { MOST_SPELLED_BYTES = 2 };

/* Write the character of a byte as UTF-8; return how many bytes it takes, 1 or 2. */
size_t spell_byte(unsigned char byte, char *utf8);
/* Write the bytes of a spelled text, never more than `size`, and return their number; a text with
 * other characters stands for itself. */
size_t spelled_bytes(const char *text, size_t size, char *bytes);

#endif

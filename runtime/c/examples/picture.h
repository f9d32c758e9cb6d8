/* Pictures for the examples: PPM by hand, PNG by libpng, JPEG by libjpeg-turbo. */
#ifndef PICTURE_H
#define PICTURE_H

#include <stdint.h>
#include <stdio.h>

#include "carve.h"

/* Read a binary PPM (P6, 8 bits). Returns 0 and allocated pixels, 1 if the stream has ended, or -1. */
int read_ppm(FILE *stream, carve_image *image);

/* Read a PPM, PNG or JPEG file, and free((void *)image->pixels) afterwards. On failure it is -1, and
 * says why on stderr. Transparency is laid over white. How a camera was held (EXIF) is not looked at. */
int read_picture(const char *path, carve_image *image);

/* Write 8-bit RGB as a PNG. Returns 0, or -1 and says why on stderr. */
int write_png(const char *path, const uint8_t *pixels, int32_t width, int32_t height);

#endif

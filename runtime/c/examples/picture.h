/* Pictures for the examples: PPM by hand, PNG by libpng. */
#ifndef PICTURE_H
#define PICTURE_H

#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "carve.h"

/* Read a binary PPM (P6, 8 bits). Returns 0 and allocated pixels, or -1. */
static int read_ppm(FILE *stream, carve_image *image) {
    unsigned width, height, highest;
    if (fscanf(stream, "P6 %u %u %u", &width, &height, &highest) != 3 || highest != 255) return -1;
    if (fgetc(stream) == EOF || !width || !height || width > 65535 || height > 65535) return -1;
    size_t size = 3 * (size_t)width * height;
    uint8_t *pixels = malloc(size);
    if (!pixels || fread(pixels, 1, size, stream) != size) {
        free(pixels);
        return -1;
    }
    *image = (carve_image){pixels, (int32_t)width, (int32_t)height, 0};
    return 0;
}

/* Read a PNG; transparency is laid over white. */
static int read_png(const char *path, carve_image *image) {
    png_image png;
    png_color white = {255, 255, 255};
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_file(&png, path)) return -1;
    png.format = PNG_FORMAT_RGB;
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(png));
    if (!pixels || !png_image_finish_read(&png, &white, pixels, 0, NULL)) {
        free(pixels);
        png_image_free(&png);
        return -1;
    }
    *image = (carve_image){pixels, (int32_t)png.width, (int32_t)png.height, 0};
    return 0;
}

/* Read either; free((void *)image->pixels) afterwards. */
static int read_picture(const char *path, carve_image *image) {
    FILE *stream = fopen(path, "rb");
    if (!stream) return -1;
    int result = read_ppm(stream, image);
    fclose(stream);
    return result == 0 ? 0 : read_png(path, image);
}

#endif

#include "picture.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>
#ifdef WITH_JPEG
#include <turbojpeg.h>
#endif

enum { MOST_SIDE = 65535 };

int read_ppm(FILE *stream, carve_image *image) {
    unsigned width, height, highest;
    const int first = fgetc(stream);
    if (first == EOF) return ferror(stream) ? -1 : 1;
    ungetc(first, stream);
    if (fscanf(stream, "P6 %u %u %u", &width, &height, &highest) != 3 || highest != 255) return -1;
    if (fgetc(stream) == EOF || !width || !height || width > MOST_SIDE || height > MOST_SIDE) return -1;
    size_t size = 3 * (size_t)width * height;
    uint8_t *pixels = malloc(size);
    if (!pixels || fread(pixels, 1, size, stream) != size) {
        free(pixels);
        return -1;
    }
    *image = (carve_image){pixels, (int32_t)width, (int32_t)height, 0};
    return 0;
}

static int refuse(const char *path, const char *why) {
    fprintf(stderr, "%s: %s\n", path, why);
    return -1;
}

static int read_png(FILE *stream, const char *path, carve_image *image) {
    png_image png;
    png_color white = {255, 255, 255};
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    if (!png_image_begin_read_from_stdio(&png, stream)) return refuse(path, png.message);
    png.format = PNG_FORMAT_RGB;
    uint8_t *pixels = malloc(PNG_IMAGE_SIZE(png));
    if (!pixels || !png_image_finish_read(&png, &white, pixels, 0, NULL)) {
        free(pixels);
        png_image_free(&png);
        return refuse(path, pixels ? png.message : "too large for the memory");
    }
    *image = (carve_image){pixels, (int32_t)png.width, (int32_t)png.height, 0};
    return 0;
}

#ifdef WITH_JPEG
static int decode_jpeg(const unsigned char *data, unsigned long size, const char *path,
                       carve_image *image) {
    int width, height, subsampling, colours;
    uint8_t *pixels = NULL;
    tjhandle decoder = tjInitDecompress();
    int failed = !decoder ||
                 tjDecompressHeader3(decoder, data, size, &width, &height, &subsampling, &colours);
    if (!failed) {
        pixels = malloc(3 * (size_t)width * (size_t)height);
        /* The exact transform: with it the pixels are Pillow's. */
        failed = !pixels || tjDecompress2(decoder, data, size, pixels, width, 0, height, TJPF_RGB,
                                          TJFLAG_ACCURATEDCT);
    }
    if (failed) {
        refuse(path, tjGetErrorStr2(decoder));
        free(pixels);
    } else {
        *image = (carve_image){pixels, width, height, 0};
    }
    if (decoder) tjDestroy(decoder);
    return failed ? -1 : 0;
}

static int read_jpeg(FILE *stream, const char *path, carve_image *image) {
    long size = fseek(stream, 0, SEEK_END) == 0 ? ftell(stream) : -1;
    unsigned char *data = size > 0 ? malloc((size_t)size) : NULL;
    rewind(stream);
    int failed = !data || fread(data, 1, (size_t)size, stream) != (size_t)size
                     ? refuse(path, "cannot be read")
                     : decode_jpeg(data, (unsigned long)size, path, image);
    free(data);
    return failed;
}
#else
static int read_jpeg(FILE *stream, const char *path, carve_image *image) {
    (void)stream, (void)image;
    return refuse(path, "a JPEG, and these examples were built without libturbojpeg. Install "
                        "libturbojpeg0-dev and build them again, or convert it to PNG or PPM.");
}
#endif

int read_picture(const char *path, carve_image *image) {
    unsigned char start[2] = {0, 0};
    int failed;
    FILE *stream = fopen(path, "rb");
    if (!stream) return refuse(path, "cannot be opened");
    size_t got = fread(start, 1, sizeof start, stream);
    rewind(stream);
    if (got == sizeof start && memcmp(start, "\xff\xd8", 2) == 0) {
        failed = read_jpeg(stream, path, image);
    } else if (got == sizeof start && memcmp(start, "\x89P", 2) == 0) {
        failed = read_png(stream, path, image);
    } else {
        failed = read_ppm(stream, image) == 0
                     ? 0
                     : refuse(path, "no readable PPM, PNG or JPEG picture");
    }
    fclose(stream);
    return failed;
}

int write_png(const char *path, const uint8_t *pixels, int32_t width, int32_t height) {
    png_image png;
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    png.width = (png_uint_32)width;
    png.height = (png_uint_32)height;
    png.format = PNG_FORMAT_RGB;
    if (png_image_write_to_file(&png, path, 0, pixels, 0, NULL)) return 0;
    return refuse(path, png.message);
}

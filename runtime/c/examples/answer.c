/*
 * answer BUNDLE PICTURE QUESTION [REFINED.png [PROVIDER]]: ask about a PPM or PNG picture, with
 * CUDAExecutionProvider for instance.
 */
#include "picture.h"

static int report(carve_status status) {
    fprintf(stderr, "error %d: %s\n", (int)status.code, status.message);
    return 1;
}

static int show(const carve_result *result, const char *refined_path) {
    carve_reading r = {sizeof r};
    carve_status status = carve_read(result, &r);
    if (status.code != CARVE_OK) return report(status);
    printf("plain  %s\nCARVE  %s\n", r.plain_answer, r.answer);
    printf("box    (%d, %d, %d, %d) scaled to %d x %d\n", (int)r.box[0], (int)r.box[1],
           (int)r.box[2], (int)r.box[3], (int)r.refined_width, (int)r.refined_height);
    if (!refined_path) return 0;
    png_image png;
    memset(&png, 0, sizeof png);
    png.version = PNG_IMAGE_VERSION;
    png.width = (png_uint_32)r.refined_width;
    png.height = (png_uint_32)r.refined_height;
    png.format = PNG_FORMAT_RGB;
    if (png_image_write_to_file(&png, refined_path, 0, r.refined, 0, NULL)) return 0;
    fprintf(stderr, "%s cannot be written\n", refined_path);
    return 1;
}

int main(int argc, char **argv) {
    carve_image image;
    carve_model *model = NULL;
    carve_view *view = NULL;
    carve_result *result = NULL;
    carve_open_options options = {.struct_size = sizeof options};
    if (argc < 4 || argc > 6) {
        fprintf(stderr, "usage: %s BUNDLE PICTURE QUESTION [REFINED.png [PROVIDER]]\n", argv[0]);
        return 2;
    }
    if (read_picture(argv[2], &image) != 0) {
        fprintf(stderr, "%s is not a readable PPM or PNG picture\n", argv[2]);
        return 1;
    }
    if (argc == 6) options.provider = argv[5];
    carve_status status = carve_open(argv[1], &options, &model);
    if (status.code == CARVE_OK) status = carve_look(model, &image, &view);
    if (status.code == CARVE_OK) status = carve_ask(view, argv[3], NULL, &result);
    int failed = status.code == CARVE_OK ? show(result, argc >= 5 ? argv[4] : NULL)
                                         : report(status);
    carve_result_free(result);
    carve_view_free(view);
    carve_model_free(model);
    free((void *)image.pixels);
    return failed;
}

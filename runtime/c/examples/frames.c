/*
 * frames BUNDLE QUESTION < frames.ppm: ask the same question about every frame of a stream of PPM
 * pictures, as a camera gives them, for instance
 *
 *     ffmpeg -i /dev/video0 -r 1 -f image2pipe -c:v ppm - | frames bundle "Is there a dog?"
 */
#include "picture.h"

static carve_status answer_frame(carve_model *model, const carve_image *frame,
                                 const char *question, int number) {
    carve_view *view = NULL;
    carve_result *result = NULL;
    carve_reading r = {sizeof r};
    carve_status status = carve_look(model, frame, &view);
    if (status.code == CARVE_OK) status = carve_ask(view, question, NULL, &result);
    if (status.code == CARVE_OK) status = carve_read(result, &r);
    if (status.code == CARVE_OK) {
        printf("%d\t%s\t%d,%d,%d,%d\n", number, r.answer, (int)r.box[0], (int)r.box[1],
               (int)r.box[2], (int)r.box[3]);
        fflush(stdout);
    }
    carve_result_free(result);
    carve_view_free(view);
    return status;
}

int main(int argc, char **argv) {
    carve_model *model = NULL;
    carve_image frame;
    if (argc != 3) {
        fprintf(stderr, "usage: %s BUNDLE QUESTION < frames.ppm\n", argv[0]);
        return 2;
    }
    carve_status status = carve_open(argv[1], NULL, &model);
    for (int number = 0; status.code == CARVE_OK && read_ppm(stdin, &frame) == 0; number++) {
        status = answer_frame(model, &frame, argv[2], number);
        free((void *)frame.pixels);
    }
    if (status.code != CARVE_OK) fprintf(stderr, "error %d: %s\n", (int)status.code, status.message);
    carve_model_free(model);
    return status.code != CARVE_OK;
}

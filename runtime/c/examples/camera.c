#include "camera.h"

#include <stdio.h>
#include <stdlib.h>

#ifdef WITH_V4L2
#include <errno.h>
#include <fcntl.h>
#include <libv4l2.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <string.h>

enum { WIDTH = 640, HEIGHT = 480 }; /* asked for; the camera may give others */
enum { PATIENCE_MS = 5000 };

struct camera {
    int device;
    int32_t width, height;
    size_t row_bytes, size;
    uint8_t *pixels;
};

static void say(const char *what) { fprintf(stderr, "camera: %s: %s\n", what, strerror(errno)); }

camera *camera_open(const char *path) {
    struct v4l2_format format = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
    camera *opened = calloc(1, sizeof *opened);
    if (!opened) return NULL;
    opened->device = v4l2_open(path, O_RDWR | O_NONBLOCK);
    format.fmt.pix.width = WIDTH;
    format.fmt.pix.height = HEIGHT;
    format.fmt.pix.pixelformat = V4L2_PIX_FMT_RGB24;
    format.fmt.pix.field = V4L2_FIELD_NONE;
    if (opened->device < 0 || v4l2_ioctl(opened->device, VIDIOC_S_FMT, &format) != 0) {
        say(path);
    } else if (format.fmt.pix.pixelformat != V4L2_PIX_FMT_RGB24) {
        fprintf(stderr, "camera: %s gives pictures that libv4l2 cannot convert to RGB\n", path);
    } else {
        opened->width = (int32_t)format.fmt.pix.width;
        opened->height = (int32_t)format.fmt.pix.height;
        opened->row_bytes = format.fmt.pix.bytesperline;
        opened->size = format.fmt.pix.sizeimage;
        opened->pixels = malloc(opened->size);
        if (opened->pixels) return opened;
    }
    camera_close(opened);
    return NULL;
}

/* 1: a frame; 0: none is there yet; -1: no more. */
static int read_frame(camera *opened) {
    ssize_t got = v4l2_read(opened->device, opened->pixels, opened->size);
    if (got == (ssize_t)opened->size) return 1;
    return got < 0 && errno == EAGAIN ? 0 : -1;
}

int camera_next(camera *opened, carve_image *frame) {
    int got = 1;
    while (got == 1) got = read_frame(opened); /* what waited during the last answer */
    while (got == 0) {
        struct pollfd ready = {opened->device, POLLIN, 0};
        if (poll(&ready, 1, PATIENCE_MS) != 1) {
            fprintf(stderr, "camera: no frame for %d ms\n", PATIENCE_MS);
            return -1;
        }
        got = read_frame(opened);
    }
    if (got < 0) {
        say("no more frames");
        return -1;
    }
    *frame = (carve_image){opened->pixels, opened->width, opened->height, opened->row_bytes};
    return 0;
}

void camera_close(camera *opened) {
    if (!opened) return;
    if (opened->device >= 0) v4l2_close(opened->device);
    free(opened->pixels);
    free(opened);
}
#else
camera *camera_open(const char *path) {
    fprintf(stderr, "%s: a camera, and this example was built without libv4l2. Install libv4l-dev "
                    "and build it again, or send it frames by ffmpeg.\n", path);
    return NULL;
}

int camera_next(camera *opened, carve_image *frame) {
    (void)opened, (void)frame;
    return -1;
}

void camera_close(camera *opened) { (void)opened; }
#endif

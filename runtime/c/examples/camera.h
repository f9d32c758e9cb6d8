/* A camera of Linux's V4L2, through libv4l2, which converts what the camera sends to RGB. */
#ifndef CAMERA_H
#define CAMERA_H

#include "carve.h"

typedef struct camera camera;

/* Open a device such as /dev/video0; NULL and a word on stderr if it gives no pictures. */
camera *camera_open(const char *path);
/* The next frame that the camera takes: those that waited are passed over. The pixels belong to the
 * camera, until the next frame. Returns 0, or -1 and says why on stderr. */
int camera_next(camera *opened, carve_image *frame);
void camera_close(camera *opened);

#endif

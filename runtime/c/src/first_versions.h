/* Sizes of the structures in their first version, which programs may have been compiled with. */
#ifndef CARVE_FIRST_VERSIONS_H
#define CARVE_FIRST_VERSIONS_H

#include "carve.h"

/* Where a structure ended whose last field was this one, and whose fields are aligned so. */
#define ENDED_WITH(type, field, alignment)                                                         \
    ((offsetof(type, field) + sizeof(((type *)0)->field) + (alignment) - 1) / (alignment) *        \
     (alignment))

enum {
    /* Its numbers of 8 bytes are aligned as the one that follows now. */
    FIRST_ASK_OPTIONS = offsetof(carve_ask_options, scout_pixels),
    /* It had none: its widest fields were pointers, while a double follows now, which some 32-bit
     * systems align to 8. */
    FIRST_READING = ENDED_WITH(carve_reading, refined_limited, sizeof(void *))
};

#endif

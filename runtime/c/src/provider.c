/* ONNX Runtime's execution providers, with the options that Python gives them. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "provider_table.h"

#define ROW(name, device, first, memory, float32, float16, ...)                                    \
    {name, device, first, memory, float32, float16, {__VA_ARGS__}},
static const provider providers[] = {PROVIDERS(ROW)};
#undef ROW

carve_status provider_find(const carve_open_options *options, provider *out) {
    const char *name = options->provider ? options->provider : providers[0].name;
    /* A provider that Python does not offer: a device is passed on, nothing stays there. */
    *out = (provider){name, options->device ? "device_id" : NULL, NULL, NULL, false, false, {NULL}};
    for (size_t i = 0; i < COUNT(providers); i++) {
        if (strcmp(providers[i].name, name) == 0) *out = providers[i];
    }
    if (!options->device || (out->device && !out->first)) return carve_ok;
    return failure(CARVE_SETTINGS_ERROR,
                   "device is %d, and %.100s has no numbered devices. Leave the device out, or "
                   "choose another provider.",
                   (int)options->device, name);
}

void provider_options(const provider *p, int32_t device, provider_setting *out) {
    *out = (provider_setting){.count = 0};
    if (p->device) {
        snprintf(out->number, sizeof out->number, "%d", (int)device);
        out->keys[0] = p->device;
        out->values[out->count++] = p->first ? p->first : out->number;
    }
    for (const char *const *option = p->fixed; *option; option += 2) {
        out->keys[out->count] = option[0];
        out->values[out->count++] = option[1];
    }
}

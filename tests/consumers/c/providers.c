/* providers NAME DEVICE: print the options that a provider is given, one "key=value" a line. */
#include <stdio.h>
#include <stdlib.h>

#include "internal.h"

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    const carve_open_options options = {.provider = argv[1], .device = atoi(argv[2])};
    provider found;
    provider_setting given;
    carve_status status = provider_find(&options, &found);
    if (status.code != CARVE_OK) {
        printf("refused %d\n", (int)status.code);
        return 0;
    }
    provider_options(&found, options.device, &given);
    for (size_t i = 0; i < given.count; i++) printf("%s=%s\n", given.keys[i], given.values[i]);
    return 0;
}

/* The files of a bundle: they lie in it, and are what the manifest says. */
#include <stdio.h>
#include <string.h>

#include "handles.h"

static bool is_inside(const char *name) {
    if (!*name || *name == '/' || strpbrk(name, "\\:")) return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        if (strncmp(part, "..", 2) == 0 && (part[2] == '/' || part[2] == 0)) return false;
    }
    return true;
}

carve_status bundle_path(scope *owner, const char *folder, const char *name, const char **path) {
    if (!is_inside(name)) {
        return failure(CARVE_BUNDLE_ERROR,
                       "The manifest names '%.100s', outside the bundle. Do not use this bundle.",
                       name);
    }
    size_t size = strlen(folder) + strlen(name) + 2;
    char *joined = scope_alloc(owner, size, 1);
    if (!joined) return no_memory();
    snprintf(joined, size, "%s/%s", folder, name);
    *path = joined;
    return carve_ok;
}

static carve_status check_file(scope *owner, const char *folder, const cJSON *entry,
                               bool sizes_only) {
    const char *path, *expected;
    int64_t size;
    char actual[65];
    TRY(bundle_path(owner, folder, entry->string ? entry->string : "", &path));
    TRY(json_int(entry, "size", 0, INT64_C(1) << 53, &size));
    TRY(json_text(entry, "sha256", &expected));
    int64_t actual_size = file_size(path);
    if (actual_size < 0) {
        return failure(CARVE_BUNDLE_ERROR, "%s is missing. Copy the whole bundle.", path);
    }
    if (!file_stays(folder, path)) {
        return failure(CARVE_BUNDLE_ERROR,
                       "%s is a link that leaves the bundle. Copy the file itself.", path);
    }
    if (actual_size != size) {
        return failure(CARVE_BUNDLE_ERROR,
                       "%s has %lld bytes, the manifest says %lld. Copy the bundle again.", path,
                       (long long)actual_size, (long long)size);
    }
    if (sizes_only) return carve_ok;
    TRY(file_sha256(path, actual));
    if (strcmp(actual, expected) != 0) {
        return failure(CARVE_BUNDLE_ERROR,
                       "%s is not the file that the manifest describes (its SHA-256 differs). "
                       "Copy the bundle again.",
                       path);
    }
    return carve_ok;
}

carve_status bundle_check_files(scope *owner, const cJSON *files, const char *folder,
                                bool sizes_only) {
    const cJSON *entry;
    cJSON_ArrayForEach(entry, files) { TRY(check_file(owner, folder, entry, sizes_only)); }
    return carve_ok;
}

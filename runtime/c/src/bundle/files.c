/* Files by paths in UTF-8: as they are on POSIX systems, in UTF-16 on Windows. */
#define _XOPEN_SOURCE 700 /* realpath */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "internal.h"

#ifdef _WIN32
#include <windows.h>

carve_status native_path(scope *owner, const char *path, const ORTCHAR_T **out) {
    int length = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, NULL, 0);
    if (!length) return failure(CARVE_BUNDLE_ERROR, "%s is not UTF-8. Check the path.", path);
    wchar_t *wide = scope_alloc(owner, (size_t)length, sizeof *wide);
    if (!wide) return no_memory();
    MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, length);
    *out = wide;
    return carve_ok;
}

typedef wchar_t letter;
static size_t count_letters(const letter *text) { return wcslen(text); }
/* The file that a path leads to, links followed; free it. */
static letter *real_path(const ORTCHAR_T *path) {
    HANDLE file = CreateFileW(path, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
                              FILE_FLAG_BACKUP_SEMANTICS, NULL);
    if (file == INVALID_HANDLE_VALUE) return NULL;
    DWORD size = GetFinalPathNameByHandleW(file, NULL, 0, FILE_NAME_NORMALIZED);
    letter *real = size ? calloc(size + 1, sizeof *real) : NULL;
    if (real) GetFinalPathNameByHandleW(file, real, size + 1, FILE_NAME_NORMALIZED);
    CloseHandle(file);
    return real;
}

typedef struct _stat64 file_facts;
static int read_facts(const ORTCHAR_T *path, file_facts *facts) { return _wstat64(path, facts); }
static FILE *open_native(const ORTCHAR_T *path) { return _wfopen(path, L"rb"); }
static bool is_regular(const file_facts *facts) { return (facts->st_mode & _S_IFMT) == _S_IFREG; }
#else
carve_status native_path(scope *owner, const char *path, const ORTCHAR_T **out) {
    (void)owner;
    *out = path;
    return carve_ok;
}

typedef char letter;
static size_t count_letters(const letter *text) { return strlen(text); }
/* The file that a path leads to, links followed; free it. */
static letter *real_path(const ORTCHAR_T *path) { return realpath(path, NULL); }

typedef struct stat file_facts;
static int read_facts(const ORTCHAR_T *path, file_facts *facts) { return stat(path, facts); }
static FILE *open_native(const ORTCHAR_T *path) { return fopen(path, "rb"); }
static bool is_regular(const file_facts *facts) { return S_ISREG(facts->st_mode); }
#endif

FILE *file_open(const char *path) {
    scope temporary = {NULL};
    const ORTCHAR_T *native = NULL;
    FILE *stream = NULL;
    if (native_path(&temporary, path, &native).code == CARVE_OK) {
        stream = open_native(native);
    } else {
        errno = ENOENT;
    }
    scope_release(&temporary);
    return stream;
}

int64_t file_size(const char *path) {
    scope temporary = {NULL};
    const ORTCHAR_T *native = NULL;
    file_facts facts;
    bool regular = native_path(&temporary, path, &native).code == CARVE_OK &&
                   read_facts(native, &facts) == 0 && is_regular(&facts);
    scope_release(&temporary);
    return regular ? (int64_t)facts.st_size : -1;
}

bool file_stays(const char *folder, const char *path) {
    scope temporary = {NULL};
    const ORTCHAR_T *native_folder, *native;
    letter *root = NULL, *file = NULL;
    if (native_path(&temporary, folder, &native_folder).code == CARVE_OK &&
        native_path(&temporary, path, &native).code == CARVE_OK) {
        root = real_path(native_folder);
        file = real_path(native);
    }
    size_t length = root ? count_letters(root) : 0;
    if (length && (root[length - 1] == '/' || root[length - 1] == '\\')) length--; /* a root */
    bool stays = root && file && count_letters(file) > length &&
                 memcmp(root, file, length * sizeof *root) == 0 &&
                 (file[length] == '/' || file[length] == '\\');
    free(root);
    free(file);
    scope_release(&temporary);
    return stays;
}

carve_status read_file(scope *owner, const char *path, size_t limit, char **data, size_t *size) {
    FILE *stream = file_open(path);
    if (!stream) {
        return failure(CARVE_BUNDLE_ERROR, "%s cannot be read (%s). Check the path.", path,
                       strerror(errno));
    }
    long length = fseek(stream, 0, SEEK_END) == 0 ? ftell(stream) : -1;
    carve_status status = carve_ok;
    if (length < 0 || (size_t)length > limit || fseek(stream, 0, SEEK_SET) != 0) {
        status = failure(CARVE_BUNDLE_ERROR, "%s is not a file of at most %zu bytes. Copy it again.",
                         path, limit);
    } else if (!(*data = scope_alloc(owner, (size_t)length + 1, 1))) {
        status = no_memory();
    } else if (fread(*data, 1, (size_t)length, stream) != (size_t)length) {
        status = failure(CARVE_BUNDLE_ERROR, "%s cannot be read to its end. Copy it again.", path);
    } else {
        *size = (size_t)length;
    }
    fclose(stream);
    return status;
}

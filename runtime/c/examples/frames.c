/*
 * frames [OPTIONS] BUNDLE QUESTION [SOURCE]: ask the same question about one picture after the other.
 *
 *   --min-change LEVELS    only about pictures that differ by as much from the last that was asked
 *                          about (carve_change); 20 is above most cameras' noise
 *   --min-seconds SECONDS  that lie between two that are asked about
 *
 *   SOURCE a camera    /dev/video0: the frame that it takes when the last answer is there, for ever
 *   SOURCE a folder    its pictures by name
 *   no SOURCE          PPM pictures on standard input, for instance
 *                      ffmpeg -i rtsp://... -r 1 -f image2pipe -c:v ppm - | frames bundle "A dog?"
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "camera.h"
#include "picture.h"

enum { LEAST_ARGUMENTS = 2, MOST_ARGUMENTS = 3 };

typedef struct asker {
    carve_model *model;
    const char *bundle, *question, *source;
    double min_change, min_seconds;
    carve_view *view; /* of the frame that was asked about last */
    double asked_at;
} asker;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Whether enough time has passed, and enough has changed. */
static carve_status is_due(const asker *who, const carve_image *frame, double now, int *due) {
    double change;
    *due = !who->view;
    if (*due || now - who->asked_at < who->min_seconds) return (carve_status){CARVE_OK, ""};
    carve_status status = carve_change(who->view, frame, &change);
    *due = status.code == CARVE_OK && change >= who->min_change;
    return status;
}

/* Print the frame's name, the answer and the box if it is due; 0, or -1 and a word on stderr. */
static int ask(asker *who, const carve_image *frame, const char *name) {
    carve_result *result = NULL;
    carve_reading r = {sizeof r};
    const double now = seconds();
    int due;
    carve_status status = is_due(who, frame, now, &due);
    if (status.code == CARVE_OK && !due) return 0;
    if (status.code == CARVE_OK) {
        carve_view_free(who->view); /* its memory serves the next one */
        who->asked_at = now;
        status = carve_look(who->model, frame, &who->view);
    }
    if (status.code == CARVE_OK) status = carve_ask(who->view, who->question, NULL, &result);
    if (status.code == CARVE_OK) status = carve_read(result, &r);
    if (status.code == CARVE_OK) {
        printf("%s\t%s\t%d,%d,%d,%d\n", name, r.answer ? r.answer : "", (int)r.box[0],
               (int)r.box[1], (int)r.box[2], (int)r.box[3]);
        fflush(stdout);
    } else {
        fprintf(stderr, "%s: error %d: %s\n", name, (int)status.code, status.message);
    }
    carve_result_free(result);
    return status.code == CARVE_OK ? 0 : -1;
}

static int ask_stream(asker *who) {
    carve_image frame;
    char name[24];
    int failed = 0;
    for (int number = 0; !failed; number++) {
        const int ended = read_ppm(stdin, &frame);
        if (ended > 0 && number) break;
        if (ended) {
            fprintf(stderr, "picture %d: no readable PPM of 8 bits\n", number);
            return -1;
        }
        snprintf(name, sizeof name, "%d", number);
        failed = ask(who, &frame, name);
        free((void *)frame.pixels);
    }
    return failed;
}

static int ask_camera(asker *who, const char *path) {
    camera *opened = camera_open(path);
    carve_image frame;
    char name[24];
    int failed = opened ? 0 : -1;
    for (int number = 0; !failed; number++) {
        snprintf(name, sizeof name, "%d", number);
        failed = camera_next(opened, &frame);
        if (!failed) failed = ask(who, &frame, name);
    }
    camera_close(opened);
    return failed;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void free_list(char **names) {
    for (char **name = names; name && *name; name++) free(*name);
    free(names);
}

/* Add a name to a list that ends with NULL; NULL, and the list is freed, if there is no memory. */
static char **add_name(char **names, size_t count, const char *name) {
    char **longer = realloc(names, (count + 2) * sizeof *names);
    char *copy = longer ? malloc(strlen(name) + 1) : NULL;
    if (!copy) {
        free_list(longer ? longer : names);
        return NULL;
    }
    longer[count] = strcpy(copy, name);
    longer[count + 1] = NULL;
    return longer;
}

/* The names of a folder's files, sorted, NULL behind the last; hidden ones are left out. NULL and a
 * word on stderr if they cannot be listed. */
static char **list(const char *folder) {
    DIR *opened = opendir(folder);
    char **names = opened ? calloc(1, sizeof *names) : NULL;
    size_t count = 0;
    struct dirent *entry;
    while (names && (entry = readdir(opened))) {
        if (*entry->d_name != '.') names = add_name(names, count++, entry->d_name);
    }
    if (opened) closedir(opened);
    if (!names) {
        fprintf(stderr, "%s: cannot be listed\n", folder);
        return NULL;
    }
    qsort(names, count, sizeof *names, by_name);
    return names;
}

static int ask_folder(asker *who, const char *folder) {
    char **names = list(folder);
    char path[4096];
    carve_image frame;
    int failed = names ? 0 : -1;
    for (char **name = names; name && *name; name++) {
        snprintf(path, sizeof path, "%s/%s", folder, *name);
        if (!failed) failed = read_picture(path, &frame);
        if (!failed) {
            failed = ask(who, &frame, *name);
            free((void *)frame.pixels);
        }
    }
    free_list(names);
    return failed;
}

/* A number of at least 0; -1 if it is none. */
static double number(const char *text) {
    char *end;
    const double value = text ? strtod(text, &end) : -1;
    return text && end != text && !*end && value >= 0 ? value : -1;
}

/* Read the command line; -1 if it is not one. */
static int read_arguments(int argc, char **argv, asker *who) {
    const char *arguments[MOST_ARGUMENTS] = {NULL};
    int count = 0;
    for (int i = 1; i < argc; i++) {
        double *option = strcmp(argv[i], "--min-change") == 0    ? &who->min_change
                         : strcmp(argv[i], "--min-seconds") == 0 ? &who->min_seconds
                                                                 : NULL;
        if (option) {
            *option = number(argv[++i]); /* NULL behind the last */
            if (*option < 0) return -1;
        } else if (count == MOST_ARGUMENTS || strncmp(argv[i], "--", 2) == 0) {
            return -1;
        } else {
            arguments[count++] = argv[i];
        }
    }
    who->bundle = arguments[0], who->question = arguments[1], who->source = arguments[2];
    return count < LEAST_ARGUMENTS ? -1 : 0;
}

int main(int argc, char **argv) {
    asker who = {NULL};
    struct stat facts;
    if (read_arguments(argc, argv, &who) != 0) {
        fprintf(stderr,
                "usage: %s [--min-change LEVELS] [--min-seconds SECONDS] BUNDLE QUESTION "
                "[CAMERA | FOLDER] [< frames.ppm]\n",
                argv[0]);
        return 2;
    }
    carve_status status = carve_open(who.bundle, NULL, &who.model);
    int failed = status.code != CARVE_OK;
    if (failed) {
        fprintf(stderr, "error %d: %s\n", (int)status.code, status.message);
    } else if (!who.source) {
        failed = ask_stream(&who);
    } else if (stat(who.source, &facts) == 0 && S_ISDIR(facts.st_mode)) {
        failed = ask_folder(&who, who.source);
    } else {
        failed = ask_camera(&who, who.source);
    }
    carve_view_free(who.view);
    carve_model_free(who.model);
    return failed != 0;
}

/* A process that ends, or whose disk is full, at one of the steps by which it changes its files, for LD_PRELOAD:
 * tests/test_each_step.py.
 *
 * A step is a call that makes, writes, syncs, cuts, renames or removes a file in the folder STEP_FOLDER, which is the working
 * directory too; not what goes to a file that is open and has STEP_NOT in its name. Steps are counted while the file STEP_GATE
 * exists, which says `kill N` or `full N`: at step N the process is killed, after half of what was to be written; or from step
 * N on there is no room, and the file STEP_GATE.hit is made.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PASSES, ENDS, FULL };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long calls, known;

#define REAL(type, name, ...) type (*real)(__VA_ARGS__) = dlsym(RTLD_NEXT, name)

static int is_ours(const char *path) {
    const char *folder = getenv("STEP_FOLDER");
    return folder != NULL && (path[0] != '/' || strncmp(path, folder, strlen(folder)) == 0);
}

static int is_ours_open(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size <= 0 || path[0] != '/') return 0;
    path[size] = 0;
    const char *but = getenv("STEP_NOT");
    return is_ours(path) && (but == NULL || strstr(path, but) == NULL);
}

static int step(void) {
    const char *gate = getenv("STEP_GATE");
    char how[16] = "";
    long at = 0;
    int verdict = PASSES;
    if (gate == NULL) return PASSES;
    pthread_mutex_lock(&lock);
    FILE *told = fopen(gate, "r");
    if (told == NULL || fscanf(told, "%15s %ld", how, &at) != 2) {
        at = 0;
    }
    if (at != known) calls = 0, known = at; /* it is another gate */
    if (at > 0 && ++calls >= at) {
        verdict = strcmp(how, "kill") == 0 ? ENDS : FULL;
    }
    if (told != NULL) fclose(told);
    pthread_mutex_unlock(&lock);
    if (verdict == FULL) {
        char hit[4096];
        snprintf(hit, sizeof hit, "%s.hit", gate);
        FILE *mark = fopen(hit, "w");
        if (mark != NULL) fclose(mark);
        errno = ENOSPC;
    }
    return verdict;
}

static void end(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* True if there is no room. */
static int stops(int ours) {
    int verdict = ours ? step() : PASSES;
    if (verdict == ENDS) end();
    return verdict == FULL;
}

int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & O_CREAT ? va_arg(more, mode_t) : 0;
    va_end(more);
    if ((flags & (O_CREAT | O_TRUNC)) && stops(is_ours(path))) return -1;
    return real(path, flags, mode);
}

ssize_t write(int file, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t);
    int verdict = is_ours_open(file) ? step() : PASSES;
    if (verdict == ENDS) {
        if (real(file, bytes, count / 2) < 0) abort();
        end();
    }
    return verdict == FULL ? -1 : real(file, bytes, count);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t place) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    int verdict = is_ours_open(file) ? step() : PASSES;
    if (verdict == ENDS) {
        if (real(file, bytes, count / 2, place) < 0) abort();
        end();
    }
    return verdict == FULL ? -1 : real(file, bytes, count, place);
}

int fsync(int file) {
    REAL(int, "fsync", int);
    return stops(is_ours_open(file)) ? -1 : real(file);
}

int fdatasync(int file) {
    REAL(int, "fdatasync", int);
    return stops(is_ours_open(file)) ? -1 : real(file);
}

int ftruncate64(int file, off64_t size) {
    REAL(int, "ftruncate64", int, off64_t);
    return stops(is_ours_open(file)) ? -1 : real(file, size);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t);
    return stops(is_ours(path)) ? -1 : real(path, mode);
}

/* These need no room. */
int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *);
    stops(is_ours(to));
    return real(from, to);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *);
    stops(is_ours(path));
    return real(path);
}

/* A disk under the append-only file that fails, for LD_PRELOAD: tests/test_aof_disk.py.
 *
 * While the file that FAILS_WHILE names exists, or from the FAILS_AT-th call on, writes take half of what they are given
 * and then nothing (FAILS_HOW=write), or an fsync fails and what was written since the last one is gone (FAILS_HOW=sync),
 * as kernels forget pages that they could not write.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ino_t known;
static off_t synced;
static long calls, halves;

static int is_log(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return strstr(path, ".incr.aof") != NULL;
}

static int fails(const char *how) {
    if (strcmp(getenv("FAILS_HOW"), how) != 0) return 0;
    const char *at = getenv("FAILS_AT"), *gate = getenv("FAILS_WHILE");
    return (at != NULL && ++calls >= atol(at)) || (gate != NULL && access(gate, F_OK) == 0);
}

/* What a file has when it is first seen is safe. */
static void look(int file) {
    struct stat facts;
    if (fstat(file, &facts) == 0 && facts.st_ino != known) {
        known = facts.st_ino;
        synced = facts.st_size;
    }
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t place) {
    ssize_t (*real)(int, const void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pwrite64");
    if (!is_log(file)) return real(file, bytes, count, place);
    pthread_mutex_lock(&lock);
    look(file);
    int bad = fails("write");
    if (bad && count > 1 && halves++ % 2 == 0)
        count /= 2, bad = 0;
    pthread_mutex_unlock(&lock);
    if (bad) {
        errno = ENOSPC;
        return -1;
    }
    return real(file, bytes, count, place);
}

int fdatasync(int file) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    if (!is_log(file)) return real(file);
    pthread_mutex_lock(&lock);
    look(file);
    int result;
    if (fails("sync")) {
        if (ftruncate(file, synced) != 0) abort();
        errno = EIO;
        result = -1;
    } else {
        result = real(file);
        struct stat facts;
        if (result == 0 && fstat(file, &facts) == 0) synced = facts.st_size;
    }
    pthread_mutex_unlock(&lock);
    return result;
}

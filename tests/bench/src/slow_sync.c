/*
 * slow_sync: a disk that is slow to sync, for programs that this library is loaded into (LD_PRELOAD).
 *
 * fsync and fdatasync take SLOW_SYNC_US microseconds more than they do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static int slowly(const char *name, int fd) {
    static long us = -1;
    if (us < 0) {
        const char *text = getenv("SLOW_SYNC_US");
        us = text ? atol(text) : 0;
    }
    if (us > 0) usleep(us);
    int (*plain)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return plain(fd);
}

int fsync(int fd) { return slowly("fsync", fd); }

int fdatasync(int fd) { return slowly("fdatasync", fd); }

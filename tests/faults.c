/* What goes wrong with a file system or a clock, between a program and the C library.
 *
 * Preloaded (LD_PRELOAD) it counts the calls that change a file: write, rename, fsync, fdatasync
 * and ftruncate, on regular files alone. The environment says what happens:
 *
 *   RUNG_FAULT_COUNT=FILE  the number of calls is written to FILE when the program ends
 *   RUNG_FAULT_FULL=N      from the Nth call on the disk is full: write, rename and ftruncate fail
 *   RUNG_FAULT_KILL=N      the program is killed in place of its Nth call
 *   RUNG_FAULT_CLOCK=FILE  the time of day jumps by up to eleven days, forwards and back, at every
 *                          look; how many there were is written to FILE when the program ends
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long calls, looks;

static long number(const char *name) {
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

/* Counts one call; says whether it is to fail. */
static int fails(void) {
    long call = __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    if (call == number("RUNG_FAULT_KILL")) raise(SIGKILL);
    long full = number("RUNG_FAULT_FULL");
    if (full == 0 || call < full) return 0;
    errno = ENOSPC;
    return 1;
}

static int is_regular(int file) {
    struct stat about;
    return fstat(file, &about) == 0 && S_ISREG(about.st_mode);
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

ssize_t write(int file, const void *bytes, size_t count) {
    ssize_t (*call)(int, const void *, size_t) = next("write");
    return is_regular(file) && fails() ? -1 : call(file, bytes, count);
}

int rename(const char *from, const char *to) {
    int (*call)(const char *, const char *) = next("rename");
    return fails() ? -1 : call(from, to);
}

int ftruncate64(int file, off64_t length) {
    int (*call)(int, off64_t) = next("ftruncate64");
    return is_regular(file) && fails() ? -1 : call(file, length);
}

int fsync(int file) {
    int (*call)(int) = next("fsync");
    return is_regular(file) && fails() ? -1 : call(file);
}

int fdatasync(int file) {
    int (*call)(int) = next("fdatasync");
    return is_regular(file) && fails() ? -1 : call(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*call)(clockid_t, struct timespec *) = next("clock_gettime");
    int result = call(clock, now);
    static unsigned long state = 88172645463325252UL;
    if (result == 0 && clock == CLOCK_REALTIME && getenv("RUNG_FAULT_CLOCK")) {
        __atomic_add_fetch(&looks, 1, __ATOMIC_SEQ_CST);
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        now->tv_sec += (long)(state % 2000000) - 1000000;
    }
    return result;
}

static void report(const char *name, long count) {
    const char *path = getenv(name);
    FILE *file = path ? fopen(path, "w") : NULL;
    if (file) {
        fprintf(file, "%ld\n", count);
        fclose(file);
    }
}

__attribute__((destructor)) static void report_counts(void) {
    report("RUNG_FAULT_COUNT", calls);
    report("RUNG_FAULT_CLOCK", looks);
}

/* For LD_PRELOAD: adds the milliseconds in the file $CLOCKSHIFT_FILE (8 bytes, signed) to the wall clock and leaves the
   monotonic one alone. Raw system calls only: safe before the allocator is up. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *shift;
static int tried;

static int64_t milliseconds(void) {
    const char *path;
    if (!tried && (path = getenv("CLOCKSHIFT_FILE"))) {
        tried = 1;
        int file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY);
        if (file >= 0) {
            void *page = mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
            if (page != MAP_FAILED)
                shift = page;
            syscall(SYS_close, file);
        }
    }
    return shift ? *shift : 0;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
    int result = syscall(SYS_clock_gettime, clock, t);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        t->tv_sec += milliseconds() / 1000;
    return result;
}

int gettimeofday(struct timeval *restrict v, void *restrict zone) {
    struct timespec t;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    v->tv_sec = t.tv_sec;
    v->tv_usec = t.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (out)
        *out = t.tv_sec;
    return t.tv_sec;
}

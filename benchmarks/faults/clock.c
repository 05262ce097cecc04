/* A clock for one process and its children: an hour ahead as long as the file that CLOCK_AHEAD names exists, and right after that.
 * `kinds.py` compiles this and puts it before the C library with LD_PRELOAD. Clocks that never go back are left alone. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t ahead(void) {
    const char *file = getenv("CLOCK_AHEAD");
    return file != NULL && access(file, F_OK) == 0 ? 3600 : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (real == NULL) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec time;
    int failed = clock_gettime(CLOCK_REALTIME, &time);
    (void)zone;
    if (!failed) *now = (struct timeval){time.tv_sec, time.tv_nsec / 1000};
    return failed;
}

time_t time(time_t *now) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    if (now != NULL) *now = time.tv_sec;
    return time.tv_sec;
}

/* gettimeofday: the wall clock, as time() has it. A zone is not told, as POSIX allows. */
#include "libc.h"
#include <sys/time.h>

WEAK int gettimeofday(struct timeval *now, void *zone) {
    (void)zone;
    int64_t ms = microclaw_now_ms();
    now->tv_sec = ms / 1000;
    now->tv_usec = (suseconds_t)(ms % 1000) * 1000;
    return 0;
}

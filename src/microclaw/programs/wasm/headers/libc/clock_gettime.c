/* clock_gettime: the firmware's counts from boot on for every clock. */
#include "libc.h"
#include <time.h>

NATIVE("clock_gettime") int native_clock_gettime(clockid_t clock, struct timespec *now);

WEAK int clock_gettime(clockid_t clock, struct timespec *now) {
    if (clock != CLOCK_REALTIME) {
        return native_clock_gettime(clock, now);
    }
    int64_t ms = microclaw_now_ms();
    now->tv_sec = ms / 1000;
    now->tv_nsec = (long)(ms % 1000) * 1000000;
    return 0;
}

/* clock_nanosleep: until a time of a clock, or for so long. Never interrupted; the answer is an error's number. */
#include "libc.h"
#include <time.h>

WEAK int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left) {
    if (wanted->tv_nsec < 0 || wanted->tv_nsec > 999999999) {
        return 28; /* EINVAL */
    }
    struct timespec rest = *wanted;
    if (flags & TIMER_ABSTIME) {
        struct timespec now;
        clock_gettime(clock, &now);
        rest.tv_sec -= now.tv_sec;
        rest.tv_nsec -= now.tv_nsec;
        if (rest.tv_nsec < 0) {
            rest.tv_sec--;
            rest.tv_nsec += 1000000000;
        }
        if (rest.tv_sec < 0) {
            return 0;
        }
        left = 0;
    }
    return nanosleep(&rest, left) == 0 ? 0 : 28;
}

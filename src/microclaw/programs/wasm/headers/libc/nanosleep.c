/* nanosleep: by sleep and usleep, the firmware's or the shim's, exact below a tick. Never interrupted. */
#include "libc.h"
#include <time.h>
#include <unistd.h>

WEAK int nanosleep(const struct timespec *wanted, struct timespec *left) {
    if (wanted->tv_sec < 0 || wanted->tv_nsec < 0 || wanted->tv_nsec > 999999999) {
        microclaw_errno_value = 28; /* EINVAL */
        return -1;
    }
    if (left) {
        *left = (struct timespec){0};
    }
    if (wanted->tv_sec) {
        sleep(wanted->tv_sec > UINT32_MAX ? UINT32_MAX : (unsigned)wanted->tv_sec);
    }
    unsigned us = (unsigned)(wanted->tv_nsec + 999) / 1000;
    if (us < MICROCLAW_TICK_US) {
        microclaw_delay_us(us);
    } else {
        usleep(us);
    }
    return 0;
}

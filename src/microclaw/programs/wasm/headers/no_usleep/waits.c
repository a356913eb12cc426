/* Waits of microseconds in a program that blocks in main, for firmware that has no usleep: by the shim's timers, rounded up
 * to whole milliseconds. A constant below 1 ms stays a call of usleep, which the build refuses there. The build takes these before
 * the shim's and libc's own. */
#include "../shim/shim.h"

static inline __attribute__((always_inline)) int wait_rounded_up(unsigned us) {
    return wait_ms(us < 1000 ? 1 : us / 1000 + (us % 1000 != 0)) ? 0 : -1;
}

int usleep(unsigned us) { return wait_rounded_up(us); }

int microclaw_usleep_long(unsigned us) { return wait_rounded_up(us); }

void microclaw_delay_us(unsigned us) { (void)wait_rounded_up(us); }

int microclaw_usleep_short(unsigned us) { return __microclaw_native_usleep(us); }

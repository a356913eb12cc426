/* Waiting that is exact to the microsecond, and keeps the processor: the firmware's usleep is so below one tick, which is 10 ms
 * or, in firmware built for it, 1 ms. */
#include "libc.h"

NATIVE("usleep") int native_usleep(unsigned us);

void microclaw_delay_us(unsigned us) {
    for (; us > 900; us -= 900) {
        native_usleep(900);
    }
    if (us) {
        native_usleep(us);
    }
}

int microclaw_usleep_short(unsigned us) {
    microclaw_delay_us(us);
    return 0;
}

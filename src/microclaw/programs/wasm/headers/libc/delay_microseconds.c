/* delayMicroseconds of a time that is not known when compiling, or long. */
#include "libc.h"
#include <unistd.h>

WEAK void delayMicroseconds(unsigned us) {
    if (us < MICROCLAW_TICK_US) {
        microclaw_delay_us(us);
    } else {
        microclaw_usleep_long(us);
    }
}

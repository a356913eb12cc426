/* delayMicroseconds of a constant below 1 ms for firmware without usleep: the build refuses this call of it, at its line. */
#include "libc.h"

NATIVE("usleep") int native_usleep(unsigned us);

void microclaw_delay_short(unsigned us) { native_usleep(us); }

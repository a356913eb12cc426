/* Local time: UTC and the zone's offset, which the host stamps into the program (clock.c). */
#include "libc.h"
#include <time.h>

struct tm *microclaw_split_time(time_t seconds, struct tm *tm);
time_t microclaw_join_time(struct tm *tm);

static struct tm shared;

WEAK struct tm *localtime_r(const time_t *time, struct tm *out) {
    return microclaw_split_time(*time + microclaw_zone_s(*time), out);
}

WEAK struct tm *localtime(const time_t *time) { return microclaw_split_time(*time + microclaw_zone_s(*time), &shared); }

WEAK time_t mktime(struct tm *tm) {
    time_t local = microclaw_join_time(tm);
    return local == -1 ? -1 : local - microclaw_zone_of_local_s(local); /* -1: a year that an int does not hold */
}

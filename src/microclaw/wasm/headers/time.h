/* time.h: what the firmware has; time_t and clock_t are 64 bits wide. */
#pragma once
#include <stddef.h>
typedef long long time_t;
typedef long long clock_t;
typedef int clockid_t;
#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCKS_PER_SEC 1000000LL
struct timespec {
    time_t tv_sec;
    long tv_nsec;
};
struct tm {
    int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
};
time_t time(time_t *out);
clock_t clock(void);
int clock_gettime(clockid_t clock, struct timespec *now);
struct tm *localtime_r(const time_t *time, struct tm *out);

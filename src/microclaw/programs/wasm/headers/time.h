/* time.h: time_t and clock_t are 64 bits wide. The host stamps the time and its time zone into a program when it sends it
 * over WASMachine; without, the board's calendar starts at 1970 with each boot unless something sets it, and local time is
 * UTC. CLOCK_MONOTONIC counts from boot. */
#pragma once
#include "struct_tm.h"
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
typedef long long time_t;
typedef long long clock_t;
typedef int clockid_t;
#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC 1
#define CLOCKS_PER_SEC 1000000000LL
struct timespec {
    time_t tv_sec;
    long tv_nsec;
};
time_t time(time_t *out);
clock_t clock(void);
int clock_gettime(clockid_t clock, struct timespec *now);
struct tm *localtime_r(const time_t *time, struct tm *out);

double difftime(time_t end, time_t begin);
time_t mktime(struct tm *tm);
time_t timegm(struct tm *tm);
struct tm *gmtime(const time_t *time);
struct tm *gmtime_r(const time_t *time, struct tm *out);
struct tm *localtime(const time_t *time);
char *asctime(const struct tm *tm);
char *asctime_r(const struct tm *tm, char *out);
char *ctime(const time_t *time);
char *ctime_r(const time_t *time, char *out);
size_t strftime(char *out, size_t size, const char *format, const struct tm *tm) __attribute__((format(strftime, 3, 0)));
int nanosleep(const struct timespec *wanted, struct timespec *left);
#define TIMER_ABSTIME 1
int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wanted, struct timespec *left);
#ifdef __cplusplus
}
#endif

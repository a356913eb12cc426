/* sys/time.h: the time of day, to the millisecond. time.h has the rest. */
#pragma once
#include <sys/types.h>
#ifdef __cplusplus
extern "C" {
#endif
struct timeval {
    time_t tv_sec;
    suseconds_t tv_usec;
};
int gettimeofday(struct timeval *now, void *zone);
#define timerclear(t) ((t)->tv_sec = (t)->tv_usec = 0)
#define timerisset(t) ((t)->tv_sec || (t)->tv_usec)
#define timercmp(a, b, is) ((a)->tv_sec == (b)->tv_sec ? (a)->tv_usec is(b)->tv_usec : (a)->tv_sec is(b)->tv_sec)
#define timeradd(a, b, sum)                               \
    do {                                                  \
        (sum)->tv_sec = (a)->tv_sec + (b)->tv_sec;        \
        (sum)->tv_usec = (a)->tv_usec + (b)->tv_usec;     \
        if ((sum)->tv_usec >= 1000000) {                  \
            (sum)->tv_sec++;                              \
            (sum)->tv_usec -= 1000000;                    \
        }                                                 \
    } while (0)
#define timersub(a, b, left)                              \
    do {                                                  \
        (left)->tv_sec = (a)->tv_sec - (b)->tv_sec;       \
        (left)->tv_usec = (a)->tv_usec - (b)->tv_usec;    \
        if ((left)->tv_usec < 0) {                        \
            (left)->tv_sec--;                             \
            (left)->tv_usec += 1000000;                   \
        }                                                 \
    } while (0)
#ifdef __cplusplus
}
#endif

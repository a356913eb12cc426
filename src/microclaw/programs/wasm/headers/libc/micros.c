/* micros: the firmware's clock_gettime counts whole microseconds since boot; its clock() is the same, times 1000. */
#include "libc.h"
#include <time.h>

NATIVE("clock_gettime") int native_clock_gettime(clockid_t clock, struct timespec *now);

WEAK unsigned long micros(void) {
    struct timespec now;
    native_clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)now.tv_sec * 1000000u + (unsigned long)now.tv_nsec / 1000;
}

/* micros: the firmware's clock_gettime counts whole microseconds since boot; its clock() is the same, times 1000. */
#include <time.h>

__attribute__((weak)) unsigned long micros(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (unsigned long)now.tv_sec * 1000000u + (unsigned long)now.tv_nsec / 1000;
}

/* usleep of a program that blocks in main: whole milliseconds, rounded up, at least one. */
#include "shim.h"

int usleep(unsigned microseconds) {
    uint32_t ms = microseconds / 1000 + (microseconds % 1000 != 0);
    return wait_ms(ms ? ms : 1) ? 0 : -1;
}

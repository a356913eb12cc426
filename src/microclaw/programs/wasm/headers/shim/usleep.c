/* usleep of a time that is not known when compiling, in a program that blocks in main. */
#include "shim.h"

int usleep(unsigned us) {
    if (!__microclaw_shim.resuming && us && us < TICK_US) {
        microclaw_delay_us(us);
        return 0;
    }
    return wait_us(us);
}

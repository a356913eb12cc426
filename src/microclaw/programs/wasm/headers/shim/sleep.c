/* sleep of a program that blocks in main. */
#include "shim.h"

unsigned sleep(unsigned seconds) { return wait_ms((uint64_t)seconds * 1000) ? 0 : seconds; }

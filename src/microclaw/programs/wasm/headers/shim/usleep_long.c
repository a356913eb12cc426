/* usleep of a tick or more in a program that blocks in main. */
#include "shim.h"

int microclaw_usleep_long(unsigned us) { return wait_us(us); }

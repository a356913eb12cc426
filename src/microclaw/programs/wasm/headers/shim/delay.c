/* The other names for waiting, in a program that blocks in main. */
#include "shim.h"

void delay(unsigned ms) { (void)wait_ms(ms ? ms : 1); }

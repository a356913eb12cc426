/* The other name for delay, in a program that blocks in main. */
#include "shim.h"

void delay_ms(unsigned ms) { (void)wait_ms(ms ? ms : 1); }

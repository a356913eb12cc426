/* delayMicroseconds: the firmware's or the shim's waiting. */
#include <unistd.h>

__attribute__((weak)) void delayMicroseconds(unsigned us) { usleep(us); }

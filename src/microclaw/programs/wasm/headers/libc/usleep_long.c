/* usleep of a tick or more where main cannot sleep: the firmware's own, which blocks the whole app. */
#include "libc.h"

NATIVE("usleep") int native_usleep(unsigned us);

int microclaw_usleep_long(unsigned us) { return native_usleep(us); }

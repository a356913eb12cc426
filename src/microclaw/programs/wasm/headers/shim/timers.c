/* every and after beside a main that sleeps: on_timer_callback is the shim's, which passes on what is not its own. */
#define MICROCLAW_SHIM
#include "../glue/timers.c"

/* A pause point: eventful.py has loops of main that may go round without sleeping call this at their head, so that the
 * app's other callbacks and the application manager get their turn. It pauses for a moment when main has run for `after_ms`; 0: it waits for what only a callback can change. */
#include "shim.h"

void __microclaw_breathe(unsigned after_ms) {
    bool pauses = __microclaw_shim.phase == IN_MAIN && wasm_get_sys_tick_ms() - __microclaw_shim.deadline_ms >= after_ms;
    if (__microclaw_shim.resuming || pauses) {
        (void)wait_ms(after_ms ? 1 : 10);
    }
}

/* A pause point: loops of main that may go round without sleeping call this (pause_points.py), so that the app's other
 * callbacks and the application manager get their turn. It pauses for a moment when main has run for so many ms as the lowest
 * byte says; 0: it waits for what only a callback can change. A callback cannot pause: it is watched, by glue/watch.c, which
 * the build links where a callback may come here. */
#include "shim.h"

__attribute__((weak)) void __microclaw_watch(int told);

static __attribute__((noinline)) bool is_due(int told) {
    int ran_ms = task_ran_ms();
    if (ran_ms >= 0) {
        return ran_ms >= (told & 255);
    }
    if (__microclaw_shim.phase != IN_MAIN) {
        if (__microclaw_watch) {
            __microclaw_watch(told);
        }
        return false;
    }
    return wasm_get_sys_tick_ms() - __microclaw_shim.deadline_ms >= (unsigned)(told & 255);
}

void __microclaw_breathe(int told) {
    __microclaw_check_guard();
    if (__microclaw_shim.resuming || is_due(told)) {
        (void)wait_ms(told & 255 ? 1 : 10);
    }
}

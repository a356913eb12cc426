/* What the guards of loops and recursions ask (loop_guards.py): whether the present call of the firmware has taken too long. It ends the
 * program then, because the application manager waits for that call without a limit once it is to remove the program. */
#include <stdbool.h>
#include <wasm_app.h>

#define LIMIT_MS 30000

__attribute__((import_module("env"), import_name("printf"))) int microclaw_watch_printf(const char *format, ...);

static bool counts, over;
static unsigned begun_ms;

/* The build has every entry function call this first, and return if it says so; and takes the export away. */
__attribute__((export_name("__microclaw_entered"))) bool __microclaw_entered(void) {
    counts = false;
    return over;
}

void __microclaw_watch(int told) {
    unsigned now_ms = wasm_get_sys_tick_ms();
    if (!counts) {
        counts = true;
        begun_ms = now_ms;
    }
    if (now_ms - begun_ms >= LIMIT_MS) {
        over = true;
        const char *what = (told & 255) == 255 ? "this recursion" : told & 256 ? "this loop" : "a loop";
        microclaw_watch_printf("microclaw: line %d: %s ran 30 s without end\n", told >> 9, what);
        __builtin_trap();
    }
}

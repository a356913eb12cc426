/* exit of a program that blocks in main: leaves main for good. The firmware's own looks like a crash; it is still what
 * ends a callback that calls exit. Not declared noreturn here: it does return, into functions that Asyncify made return. */
#include "shim.h"

__attribute__((import_module("env"), import_name("exit"))) void __microclaw_native_exit(int status);
void __microclaw_exit(int status) __asm__("exit");

void __microclaw_exit(int status) {
    bool in_main = __microclaw_shim.phase == IN_MAIN;
    __microclaw_shim.exited = true;
    __microclaw_shim.exit_code = status;
    if (!in_main) {
        __microclaw_shim.phase = OVER;
        __microclaw_native_exit(status);
    }
    __microclaw_leave(stack_pointer());
    __microclaw_start_unwind(&__microclaw_shim.unwound);
}

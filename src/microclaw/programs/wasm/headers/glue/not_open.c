/* The end of a program that uses a pin without opening it. */
#include "glue.h"

__attribute__((import_module("env"), import_name("printf"))) int native_printf(const char *format, ...);
__attribute__((import_module("env"), import_name("abort"))) void native_abort(int code);

void microclaw_not_open(const char *what, int handle) {
    static char told;
    if (told && handle == -1) {
        return;
    }
    native_printf("%s %d: not open, or not for this; use what %s_open returned\n", what, handle, what);
    if (handle != -1) {
        native_abort(0);
        __builtin_trap();
    }
    told = 1;
}

/* abort: the firmware's takes a number. */
#include "libc.h"

NATIVE("abort") void native_abort(int code);

WEAK __attribute__((noreturn)) void abort(void) {
    native_abort(0);
    __builtin_trap();
}

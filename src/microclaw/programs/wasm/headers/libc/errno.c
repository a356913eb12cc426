/* errno of a program that looks at it: the firmware tells it the errors of its own functions. */
#include "libc.h"

int *microclaw_errno(void) { return &microclaw_errno_value; }

__attribute__((export_name("libc_builtin_set_errno"))) void microclaw_set_errno(int number) {
    microclaw_errno_value = number;
}

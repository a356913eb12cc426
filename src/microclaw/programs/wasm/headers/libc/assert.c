/* What a failed assertion says before it ends the program. */
#include "libc.h"
#include <assert.h>

NATIVE("abort") void native_abort(int code);

void microclaw_assert_failed(const char *text, const char *file, int line, const char *function) {
    native_printf("%s:%d: %s: Assertion `%s' failed.\n", file, line, function, text);
    native_abort(0);
    __builtin_trap();
}

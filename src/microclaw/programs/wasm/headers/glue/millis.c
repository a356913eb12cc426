/* millis, in a file of its own: a program that uses it may call something else `after` or `every`. */
#include <wasm_app.h>

unsigned long millis(void) { return wasm_get_sys_tick_ms(); }

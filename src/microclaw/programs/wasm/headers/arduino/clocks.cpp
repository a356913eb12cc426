/* Arduino.h's clocks: they begin with the program, and not with the board. A constructor that asks begins them. */
#include <microclaw.h>
#include <wasm_app.h>

static unsigned began_ms;
static bool has_begun;

static unsigned begin(void) {
    if (!has_begun) {
        has_begun = true;
        began_ms = wasm_get_sys_tick_ms();
    }
    return began_ms;
}

extern "C" unsigned long arduino_millis(void) {
    unsigned began = begin();
    return wasm_get_sys_tick_ms() - began;
}

extern "C" unsigned long arduino_micros(void) { return micros() - 1000ul * begin(); }

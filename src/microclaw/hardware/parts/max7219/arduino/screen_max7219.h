/* screen_max7219.h: opens a chain of up to 8 MAX7219 for the calls of microclaw_screen.h: matrices, or `digits` digits at each. */
#pragma once
#include <arduino/pin_arguments.h>
#include <microclaw_screen.h>
#ifdef __cplusplus
extern "C"
#endif
int screen_max7219(int sck, int mosi, int cs, int count, int digits, int mirrored)
    MICROCLAW_OUTPUT_PIN(sck) MICROCLAW_OUTPUT_PIN(mosi) MICROCLAW_OUTPUT_PIN(cs)
    MICROCLAW_ATTRIBUTE(count) MICROCLAW_ATTRIBUTE(digits) MICROCLAW_ATTRIBUTE(mirrored);

/* screen_tm1637.h: opens the digits of a TM1637 for the calls of microclaw_screen.h. `colon`: it has one, and no points. */
#pragma once
#include <arduino/pin_arguments.h>
#include <microclaw_screen.h>
#ifdef __cplusplus
extern "C"
#endif
int screen_tm1637(int clk, int dio, int digits, int colon) MICROCLAW_OUTPUT_PIN(clk) MICROCLAW_OUTPUT_PIN(dio)
    MICROCLAW_ATTRIBUTE(digits) MICROCLAW_ATTRIBUTE(colon);

/* screen_sh1106.h: opens an SH1106 on I2C for the calls of microclaw_screen.h. */
#pragma once
#include <arduino/pin_arguments.h>
#include <microclaw_screen.h>
#ifdef __cplusplus
extern "C"
#endif
int screen_sh1106(int sda, int scl, int width, int height, int address) MICROCLAW_BUS_PINS(sda, scl)
    MICROCLAW_ATTRIBUTE(width) MICROCLAW_ATTRIBUTE(height) MICROCLAW_ATTRIBUTE(address);

/* screen_lcd1602.h: opens a character display, behind a PCF8574 on I2C or on pins, for the calls of microclaw_screen.h. */
#pragma once
#include <arduino/pin_arguments.h>
#include <microclaw_screen.h>
#ifdef __cplusplus
extern "C" {
#endif
int screen_lcd1602(int sda, int scl, int columns, int rows, int address) MICROCLAW_BUS_PINS(sda, scl)
    MICROCLAW_ATTRIBUTE(columns) MICROCLAW_ATTRIBUTE(rows) MICROCLAW_ATTRIBUTE(address);
int screen_lcd1602_pins(int rs, int e, int d4, int d5, int d6, int d7, int columns, int rows)
    MICROCLAW_OUTPUT_PIN(rs) MICROCLAW_OUTPUT_PIN(e) MICROCLAW_OUTPUT_PIN(d4) MICROCLAW_OUTPUT_PIN(d5)
    MICROCLAW_OUTPUT_PIN(d6) MICROCLAW_OUTPUT_PIN(d7) MICROCLAW_ATTRIBUTE(columns) MICROCLAW_ATTRIBUTE(rows);
#ifdef __cplusplus
}
#endif

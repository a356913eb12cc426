/* microclaw.h: pins, PWM, I2C and timers for a program on the board.
 *
 * A program is `int main(void)`, which may loop forever and waits with delay; or it is event-driven: define
 * `void on_init(void)`, open what you need there, start timers, return. What you opened is closed when the program is
 * removed; `void on_destroy(void)` may be defined as well.
 * Everything that can fail returns -1. Also here: printf and the rest of stdio.h, stdint.h, stdbool.h.
 * The board gives BOARD_LED_PIN and BOARD_LED_ON (the level that lights it), BOARD_I2C_SDA and BOARD_I2C_SCL where it
 * has them. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#ifdef __cplusplus
extern "C" {
#endif

/* Timers: at most 16 at a time. */
#ifndef MICROCLAW_OWN_every
int every(unsigned ms, void (*task)(void)); /* call task every ms, first after ms; returns the timer */
#endif
#ifndef MICROCLAW_OWN_after
int after(unsigned ms, void (*task)(void)); /* call task once after ms; returns the timer */
#endif
#ifndef MICROCLAW_OWN_cancel
void cancel(int timer); /* stop a timer; one that is over is ignored */
#endif
#ifndef MICROCLAW_OWN_millis
unsigned long millis(void); /* milliseconds since boot, wraps after 49 days */
#endif
#ifndef MICROCLAW_OWN_micros
unsigned long micros(void); /* microseconds since boot, wraps after 71 minutes */
#endif

/* Waiting, in a program that has a main; after on_init it would block everything: use every and after there. */
#ifndef MICROCLAW_OWN_delay
void delay(unsigned ms);
#endif
#ifndef MICROCLAW_OWN_delay_ms
void delay_ms(unsigned ms);
#endif
#ifndef MICROCLAW_OWN_delayMicroseconds
void delayMicroseconds(unsigned us); /* below 10 ms it is exact, keeps the processor, and may be used anywhere */
#pragma push_macro("__asm__")
#undef __asm__
#ifdef MICROCLAW_NO_USLEEP
void delayMicroseconds(unsigned us) __attribute__((overloadable, enable_if(us < 1000, ""))) __asm__("microclaw_delay_short");
#elif !defined __cplusplus
void delayMicroseconds(unsigned us) __attribute__((overloadable, enable_if(us < 10000, ""))) __asm__("microclaw_delay_us");
#endif
#pragma pop_macro("__asm__")
#endif

/* Digital pins. Open each pin once and keep what gpio_open returns: it is not the pin's number. */
#define GPIO_IN 1
#define GPIO_OUT 2
#define GPIO_PULLDOWN 4
#define GPIO_PULLUP 8
#define GPIO_OPENDRAIN 16
int gpio_open(int pin, int flags); /* GPIO_IN or GPIO_OUT, | GPIO_PULLUP ...; returns the gpio */
void gpio_set(int gpio, int level);
int gpio_get(int gpio); /* 0 or 1 */
void gpio_toggle(int gpio);
void gpio_close(int gpio);

/* PWM by hardware: at most 3 pins at a time, each at a frequency of its own. */
int pwm_open(int pin, int frequency_hz); /* 1 to 9000 Hz, starts with duty 0; returns the pwm */
void pwm_set(int pwm, int duty);         /* duty 0 (off) to 255 (fully on) */
void pwm_close(int pwm);

/* I2C at 100 kHz. `address` is the 7-bit one. */
int i2c_open(int sda, int scl); /* returns the i2c; a second call returns the same */
void i2c_close(int i2c);        /* other programs can then open the bus */
int i2c_read_reg(int i2c, int address, int reg, void *data, int size);        /* 0, or -1: nobody answers */
int i2c_write_reg(int i2c, int address, int reg, const void *data, int size); /* 0, or -1: nobody answers */

/* Sensors on I2C: `int NAME_read(int i2c, int address, NAME_t *out)` for each part that microclaw can read, and one value by
 * its name, such as "temperature", by `int sensor_read(int i2c, int address, const char *quantity, float *out)`. They return
 * 0, or -1 when the sensor does not answer. Only those that a program calls are here (part_readings.py). */
#ifdef MICROCLAW_READINGS
MICROCLAW_READINGS
#endif

/* Displays: screen_NAME opens one by the name of its part, screen_text and others draw on it (microclaw_screen.h). Only the
 * displays that a program opens are here (part_screens.py). */
#ifdef MICROCLAW_SCREEN_1
#ifdef __cplusplus
} /* their pins are marked with templates */
#endif
#include MICROCLAW_SCREEN_1
#ifdef MICROCLAW_SCREEN_2
#include MICROCLAW_SCREEN_2
#endif
#ifdef MICROCLAW_SCREEN_3
#include MICROCLAW_SCREEN_3
#endif
#ifdef MICROCLAW_SCREEN_4
#include MICROCLAW_SCREEN_4
#endif
#ifdef MICROCLAW_SCREEN_5
#include MICROCLAW_SCREEN_5
#endif
#ifdef MICROCLAW_SCREEN_6
#include MICROCLAW_SCREEN_6
#endif
#ifdef MICROCLAW_SCREEN_7
#include MICROCLAW_SCREEN_7
#endif
#ifdef MICROCLAW_SCREEN_8
#include MICROCLAW_SCREEN_8
#endif
#ifdef __cplusplus
extern "C" {
#endif
#endif

/* A line for the log is printed: log("pin is %d\n", level). The logarithm is log as well, in math.h. */
#ifndef MICROCLAW_OWN_log
#pragma push_macro("__asm__")
#undef __asm__
int log(const char *format, ...) __attribute__((overloadable, format(printf, 1, 2))) __asm__("printf");
#ifdef MICROCLAW_CHOOSE_log
int log(const char *format, ...) MC_FULL __attribute__((format(printf, 1, 2))) __asm__("microclaw_printf");
#endif
#pragma pop_macro("__asm__")
#endif

/* The end of the program belongs to the glue, which closes what was opened after calling yours. */
#define on_destroy program_on_destroy
void on_destroy(void);

#include "pin_marks.h"
#ifdef __cplusplus
}
#endif

/* Arduino.h: Arduino's way to pins and time on microclaw.h, which is also here. A program that defines setup and loop and has
 * no main gets one that calls them. In C++ (.ino, .cpp) with Serial and String; Servo.h and Wire.h have the rest. In C there are
 * no objects: use printf and i2c_open. There is no analogRead: this firmware gives programs no analog inputs. */
#pragma once
#include <math.h>
#ifndef MICROCLAW_OWN_millis
#define millis arduino_millis /* both since the program's start, as Arduino's (arduino/clocks.cpp) */
#endif
#ifndef MICROCLAW_OWN_micros
#define micros arduino_micros
#endif
#include <microclaw.h>
#ifdef __cplusplus
extern "C" {
#endif
unsigned long arduino_millis(void);
unsigned long arduino_micros(void);
#ifdef __cplusplus
}
#endif
#include <stdlib.h>
#include <string.h>
#ifndef __cplusplus
#include <unistd.h> /* a sketch may call its own variable read */
#endif
typedef uint8_t byte;
typedef uint16_t word;
typedef bool boolean;
#define HIGH 1
#define LOW 0
#define LSBFIRST 0
#define MSBFIRST 1
#define INPUT GPIO_IN
#define OUTPUT (GPIO_IN | GPIO_OUT)
#define INPUT_PULLUP (GPIO_IN | GPIO_PULLUP)
#define INPUT_PULLDOWN (GPIO_IN | GPIO_PULLDOWN)
#define OUTPUT_OPEN_DRAIN (GPIO_IN | GPIO_OUT | GPIO_OPENDRAIN)
#ifdef __cplusplus
#define PIN_(name, number) static const uint8_t name = number;
#else
#define PIN_(name, number) enum { name = number };
#endif
#ifdef MICROCLAW_PINS /* those of the board's constants that the program names: A0, TX ... */
MICROCLAW_PINS
#endif
#if defined BOARD_LED_PIN && !defined LED_BUILTIN && !defined MICROCLAW_OWN_LED_BUILTIN
PIN_(LED_BUILTIN, BOARD_LED_PIN)
#define LED_BUILTIN LED_BUILTIN /* programs ask for it by #ifdef */
#define BUILTIN_LED LED_BUILTIN
#endif
#undef PIN_
#define PI 3.14159265358979323846
#define DEG_TO_RAD 0.017453292519943295
#define RAD_TO_DEG 57.29577951308232
#define TWO_PI 6.283185307179586
#define HALF_PI 1.5707963267948966
#define radians(degrees) ((degrees) * DEG_TO_RAD)
#define degrees(radians) ((radians) * RAD_TO_DEG)
#define sq(x) ((x) * (x))
#define F(text) (text)
#define bit(number) (1UL << (number))
#define bitToggle(value, bit) ((value) ^= 1UL << (bit))
#define bitRead(value, bit) (((value) >> (bit)) & 1)
#define bitSet(value, bit) ((value) |= 1UL << (bit))
#define bitClear(value, bit) ((value) &= ~(1UL << (bit)))
#define bitWrite(value, bit, to) ((to) ? bitSet(value, bit) : bitClear(value, bit))
#define lowByte(value) ((uint8_t)((value) & 0xff))
#define highByte(value) ((uint8_t)(((value) >> 8) & 0xff))
#ifndef __cplusplus
#ifndef MICROCLAW_OWN_min
#define min(a, b) ((a) < (b) ? (a) : (b))
#endif
#ifndef MICROCLAW_OWN_max
#define max(a, b) ((a) > (b) ? (a) : (b))
#endif
#endif
#ifndef MICROCLAW_OWN_constrain
#define constrain(value, low, high) ((value) < (low) ? (low) : (value) > (high) ? (high) : (value))
#endif
#ifdef __cplusplus
extern "C" {
#endif
#ifndef MICROCLAW_OWN_map
long map(long value, long from_low, long from_high, long to_low, long to_high);
#endif
#define MARK_(condition, text) __attribute__((diagnose_if(condition, "microclaw mark " text, "warning")))
#define PIN_MARKS_(p, what) \
    MARK_((p) == (p), what " known") MARK_((p) < 0 || (p) > 63, what " outside") \
    MARK_((p) & 1, what " 1") MARK_((p) & 2, what " 2") MARK_((p) & 4, what " 4") \
    MARK_((p) & 8, what " 8") MARK_((p) & 16, what " 16") MARK_((p) & 32, what " 32")
void pinMode(uint8_t pin, uint8_t mode) PIN_MARKS_(pin, "gpio") MARK_((mode) & GPIO_OUT, "gpio output")
    MARK_((mode) & (GPIO_PULLUP | GPIO_PULLDOWN), "gpio pull");
void digitalWrite(uint8_t pin, uint8_t level) PIN_MARKS_(pin, "gpio") MARK_((pin) == (pin), "gpio output"); /* without pinMode: makes it an output */
int digitalRead(uint8_t pin) PIN_MARKS_(pin, "gpio");
void analogWrite(uint8_t pin, int duty) PIN_MARKS_(pin, "pwm"); /* 0 to 255; 3 pins at 1 kHz, others slower */
void shiftOut(uint8_t data_pin, uint8_t clock_pin, uint8_t order, uint8_t value);
uint8_t shiftIn(uint8_t data_pin, uint8_t clock_pin, uint8_t order);
unsigned long pulseIn(uint8_t pin, uint8_t level, unsigned long timeout_us
#ifdef __cplusplus
                      = 1000000
#endif
                      ) PIN_MARKS_(pin, "gpio"); /* us; 0 when the time is up */
#ifdef __cplusplus
}
#include "arduino/core.h"
#endif
#undef MARK_
#undef PIN_MARKS_
#if defined MICROCLAW_SKETCH && !defined MICROCLAW_OTHER_UNIT
void setup(void);
void loop(void);
/* A loop that only looks at millis() must leave the processor to others as well: it gets a millisecond of sleep, each time or,
 * where the sketch waits or measures below a millisecond, when it ran for MICROCLAW_REST_MS (program_macros.py). */
int main(void) {
    unsigned rested = millis(); /* begins the clocks */
    setup();
    for (unsigned began = millis(), now;; began = now) {
        loop();
        now = millis();
        if (now - began >= 10) {
            rested = now;
        } else if (now - rested >= MICROCLAW_REST_MS) {
            delay(1);
            now = rested = millis();
        }
    }
}
#endif

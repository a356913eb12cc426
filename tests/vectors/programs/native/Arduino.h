/* Arduino.h for a native build: the documented meaning of each function, and a main that calls setup and loop. */
#pragma once
#include "microclaw.h"
#define HIGH 1
#define LOW 0
#define OUTPUT (GPIO_IN | GPIO_OUT)
#define INPUT_PULLUP (GPIO_IN | GPIO_PULLUP)
#define constrain(value, low, high) ((value) < (low) ? (low) : (value) > (high) ? (high) : (value))
static inline void pinMode(int pin, int mode) { gpio_open(pin, mode); }
static inline void digitalWrite(int pin, int level) { gpio_set(pin, level); }
static inline int digitalRead(int pin) { return gpio_get(pin); }
static inline void analogWrite(int pin, int duty) { (void)pin, (void)duty; }
static inline long map(long v, long a, long b, long c, long d) { return (v - a) * (d - c) / (b - a) + c; }
void setup(void);
void loop(void);
int main(void) {
    setup();
    for (;;) {
        loop();
        delay(1);
    }
}

/* microclaw.h for a native build: pins remember what was written, a pull-up holds inputs, PWM goes nowhere. */
#pragma once
static int fake_levels[64];
#define GPIO_IN 1
#define GPIO_OUT 2
#define GPIO_PULLUP 8
static inline int gpio_open(int pin, int flags) {
    fake_levels[pin] = (flags & GPIO_PULLUP) != 0;
    return pin;
}
static inline void gpio_set(int gpio, int level) { fake_levels[gpio] = level != 0; }
static inline int gpio_get(int gpio) { return fake_levels[gpio]; }
static inline int pwm_open(int pin, int frequency_hz) { return pin > 0 && frequency_hz > 0 ? 0 : -1; }
static inline void pwm_set(int pwm, int duty) { (void)pwm, (void)duty; }
static inline void pwm_close(int pwm) { (void)pwm; }

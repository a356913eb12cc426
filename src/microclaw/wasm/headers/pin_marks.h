/* pin_marks.h: makes the compiler say which pins a program opens, where it can work the number out; microclaw reads these
 * warnings, checks the pins against the board and shows none of them. Nothing here reaches the program. */
#pragma once
#define PIN_MARK_(p, n, what) __attribute__((diagnose_if((p) == n, "microclaw pin " what " " #n, "warning")))
#define PIN_MARKS_(p, what) \
    __attribute__((diagnose_if((p) < 0 || (p) > 63, "microclaw pin " what " -1", "warning"))) \
    PIN_MARK_(p, 0, what) PIN_MARK_(p, 1, what) PIN_MARK_(p, 2, what) PIN_MARK_(p, 3, what) \
    PIN_MARK_(p, 4, what) PIN_MARK_(p, 5, what) PIN_MARK_(p, 6, what) PIN_MARK_(p, 7, what) \
    PIN_MARK_(p, 8, what) PIN_MARK_(p, 9, what) PIN_MARK_(p, 10, what) PIN_MARK_(p, 11, what) \
    PIN_MARK_(p, 12, what) PIN_MARK_(p, 13, what) PIN_MARK_(p, 14, what) PIN_MARK_(p, 15, what) \
    PIN_MARK_(p, 16, what) PIN_MARK_(p, 17, what) PIN_MARK_(p, 18, what) PIN_MARK_(p, 19, what) \
    PIN_MARK_(p, 20, what) PIN_MARK_(p, 21, what) PIN_MARK_(p, 22, what) PIN_MARK_(p, 23, what) \
    PIN_MARK_(p, 24, what) PIN_MARK_(p, 25, what) PIN_MARK_(p, 26, what) PIN_MARK_(p, 27, what) \
    PIN_MARK_(p, 28, what) PIN_MARK_(p, 29, what) PIN_MARK_(p, 30, what) PIN_MARK_(p, 31, what) \
    PIN_MARK_(p, 32, what) PIN_MARK_(p, 33, what) PIN_MARK_(p, 34, what) PIN_MARK_(p, 35, what) \
    PIN_MARK_(p, 36, what) PIN_MARK_(p, 37, what) PIN_MARK_(p, 38, what) PIN_MARK_(p, 39, what) \
    PIN_MARK_(p, 40, what) PIN_MARK_(p, 41, what) PIN_MARK_(p, 42, what) PIN_MARK_(p, 43, what) \
    PIN_MARK_(p, 44, what) PIN_MARK_(p, 45, what) PIN_MARK_(p, 46, what) PIN_MARK_(p, 47, what) \
    PIN_MARK_(p, 48, what) PIN_MARK_(p, 49, what) PIN_MARK_(p, 50, what) PIN_MARK_(p, 51, what) \
    PIN_MARK_(p, 52, what) PIN_MARK_(p, 53, what) PIN_MARK_(p, 54, what) PIN_MARK_(p, 55, what) \
    PIN_MARK_(p, 56, what) PIN_MARK_(p, 57, what) PIN_MARK_(p, 58, what) PIN_MARK_(p, 59, what) \
    PIN_MARK_(p, 60, what) PIN_MARK_(p, 61, what) PIN_MARK_(p, 62, what) PIN_MARK_(p, 63, what)
int gpio_open(int pin, int flags) PIN_MARKS_(pin, "gpio")
    __attribute__((diagnose_if((flags) & GPIO_OUT, "microclaw out", "warning")))
    __attribute__((diagnose_if(!((flags) & (GPIO_IN | GPIO_OUT)), "microclaw no direction", "warning")));
int pwm_open(int pin, int frequency_hz) PIN_MARKS_(pin, "pwm");
int i2c_open(int sda, int scl) PIN_MARKS_(sda, "sda") PIN_MARKS_(scl, "scl");
#undef PIN_MARK_
#undef PIN_MARKS_

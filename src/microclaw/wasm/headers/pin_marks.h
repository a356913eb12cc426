/* pin_marks.h: makes the compiler say which pins a program opens, where it can work the number out, bit by bit; microclaw
 * reads these warnings, checks the pins against the board and shows none of them. Nothing here reaches the program. */
#pragma once
#define MARK_(condition, text) __attribute__((diagnose_if(condition, "microclaw mark " text, "warning")))
#define PIN_MARKS_(p, what) \
    MARK_((p) == (p), what " known") MARK_((p) < 0 || (p) > 63, what " outside") \
    MARK_((p) & 1, what " 1") MARK_((p) & 2, what " 2") MARK_((p) & 4, what " 4") \
    MARK_((p) & 8, what " 8") MARK_((p) & 16, what " 16") MARK_((p) & 32, what " 32")
int gpio_open(int pin, int flags) PIN_MARKS_(pin, "gpio")
    MARK_((flags) & GPIO_OUT, "gpio output") MARK_(!((flags) & (GPIO_IN | GPIO_OUT)), "gpio undirected");
int pwm_open(int pin, int frequency_hz) PIN_MARKS_(pin, "pwm");
int i2c_open(int sda, int scl) PIN_MARKS_(sda, "sda") PIN_MARKS_(scl, "scl");
#undef MARK_
#undef PIN_MARKS_

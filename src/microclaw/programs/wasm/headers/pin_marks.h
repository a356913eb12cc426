/* pin_marks.h: makes the compiler say which pins a program opens, where it can work the number out, bit by bit; microclaw
 * reads these warnings, checks the pins against the board and shows none of them. Nothing here reaches the program. */
#pragma once
#define MARK_(condition, text) __attribute__((diagnose_if(condition, "microclaw mark " text, "warning")))
#define PIN_MARKS_(p, what) \
    MARK_((p) == (p), what " known") MARK_((p) < 0 || (p) > 63, what " outside") \
    MARK_((p) & 1, what " 1") MARK_((p) & 2, what " 2") MARK_((p) & 4, what " 4") \
    MARK_((p) & 8, what " 8") MARK_((p) & 16, what " 16") MARK_((p) & 32, what " 32")
int gpio_open(int pin, int flags) PIN_MARKS_(pin, "gpio")
    MARK_((flags) & GPIO_OUT, "gpio output") MARK_((flags) & (GPIO_PULLUP | GPIO_PULLDOWN), "gpio pull") MARK_(!((flags) & (GPIO_IN | GPIO_OUT)), "gpio undirected");
int pwm_open(int pin, int frequency_hz) PIN_MARKS_(pin, "pwm");
int i2c_open(int sda, int scl) PIN_MARKS_(sda, "sda") PIN_MARKS_(scl, "scl");
/* What these take is never known when compiling; a number is a pin by mistake. */
#define HANDLE_(h, opener) __attribute__((diagnose_if((h) == (h), "a number stands where what " opener " returned belongs", "error")))
void gpio_set(int gpio, int level) HANDLE_(gpio, "gpio_open");
int gpio_get(int gpio) HANDLE_(gpio, "gpio_open");
void gpio_toggle(int gpio) HANDLE_(gpio, "gpio_open");
void gpio_close(int gpio) HANDLE_(gpio, "gpio_open");
void pwm_set(int pwm, int duty) HANDLE_(pwm, "pwm_open");
void pwm_close(int pwm) HANDLE_(pwm, "pwm_open");
int i2c_read_reg(int i2c, int address, int reg, void *data, int size) HANDLE_(i2c, "i2c_open");
int i2c_write_reg(int i2c, int address, int reg, const void *data, int size) HANDLE_(i2c, "i2c_open");
#undef HANDLE_
#undef MARK_
#undef PIN_MARKS_

/* Blink a number of times: the pin changes its level every
 * HALF_PERIOD_MS until it was on TIMES times. ON is the level
 * that lights: 0 where the LED is lit by low. */
#include "microclaw.h"

#define PIN 2
#define HALF_PERIOD_MS 500
#define TIMES 3
#define ON 1

static int led, timer, changes_left = 2 * TIMES - 1;

static void toggle(void) {
    gpio_toggle(led);
    if (--changes_left == 0) {
        cancel(timer);
    }
}

void on_init(void) {
    led = gpio_open(PIN, GPIO_OUT);
    gpio_set(led, ON);
    timer = every(HALF_PERIOD_MS, toggle);
}

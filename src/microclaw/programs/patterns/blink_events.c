/* Blink: the pin changes its level every HALF_PERIOD_MS.
 * ON is the level that lights: 0 for an LED lit by low. */
#include "microclaw.h"

#define PIN 2
#define HALF_PERIOD_MS 500
#define ON 1

static int led;

static void toggle(void) {
    gpio_toggle(led);
}

void on_init(void) {
    led = gpio_open(PIN, GPIO_OUT);
    gpio_set(led, ON);
    every(HALF_PERIOD_MS, toggle);
}

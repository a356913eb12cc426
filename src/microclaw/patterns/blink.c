/* Blink: the pin changes its level every HALF_PERIOD_MS, for ever. */
#include "microclaw.h"

#define PIN 2
#define HALF_PERIOD_MS 500

static int led;

static void toggle(void) {
    gpio_toggle(led);
}

void on_init(void) {
    led = gpio_open(PIN, GPIO_OUT);
    gpio_set(led, 1);
    every(HALF_PERIOD_MS, toggle);
}

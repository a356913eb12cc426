/* Pulse: the pin is on for FOR_MS, once. */
#include "microclaw.h"

#define PIN 2
#define FOR_MS 200

static int output;

static void off(void) {
    gpio_set(output, 0);
}

void on_init(void) {
    output = gpio_open(PIN, GPIO_OUT);
    gpio_set(output, 1);
    after(FOR_MS, off);
}

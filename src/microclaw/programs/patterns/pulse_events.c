/* Pulse: the pin is on for FOR_MS, once. ON is the level that
 * lights: 0 where the LED is lit by low. */
#include "microclaw.h"

#define PIN 2
#define FOR_MS 200
#define ON 1

static int output;

static void off(void) {
    gpio_set(output, !ON);
}

void on_init(void) {
    output = gpio_open(PIN, GPIO_OUT);
    gpio_set(output, ON);
    after(FOR_MS, off);
}

/* Day and night light: the light is on while the sensor's output
 * is high, in the dark. A change counts after HOLD_MS. */
#include "microclaw.h"

#define DARK_PIN 4
#define LIGHT_PIN 5
#define HOLD_MS 5000
#define LOOK_MS 100

static int sensor, light, is_on, other_ms;

static void look(void) {
    other_ms = gpio_get(sensor) != is_on ? other_ms + LOOK_MS : 0;
    if (other_ms >= HOLD_MS) {
        is_on = !is_on;
        other_ms = 0;
        gpio_set(light, is_on);
        printf("%s\n", is_on ? "night: light on" : "day: light off");
    }
}

void on_init(void) {
    sensor = gpio_open(DARK_PIN, GPIO_IN | GPIO_PULLDOWN);
    light = gpio_open(LIGHT_PIN, GPIO_OUT);
    every(LOOK_MS, look);
}

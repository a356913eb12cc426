/* Day and night light: the light is on while the sensor's output
 * is high, in the dark. A change counts after HOLD_MS. */
#include "microclaw.h"

#define DARK_PIN 4
#define LIGHT_PIN 5
#define HOLD_MS 5000
#define LOOK_MS 100

static int sensor, light, is_on, last, same_ms;

static void look(void) {
    int is_dark = gpio_get(sensor);
    same_ms = is_dark == last ? same_ms + LOOK_MS : 0;
    last = is_dark;
    if (is_dark != is_on && same_ms >= HOLD_MS) {
        is_on = is_dark;
        gpio_set(light, is_on);
        printf("%s\n", is_on ? "night: light on" : "day: light off");
    }
}

void on_init(void) {
    sensor = gpio_open(DARK_PIN, GPIO_IN | GPIO_PULLDOWN);
    light = gpio_open(LIGHT_PIN, GPIO_OUT);
    every(LOOK_MS, look);
}

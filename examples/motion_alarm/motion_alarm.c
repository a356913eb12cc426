/* Motion alarm: a PIR sensor's output is high while it sees
 * motion. The alarm is on from then until HOLD_MS after it. ON is
 * the level that switches it on: 0 where it is lit by low. */
#include "microclaw.h"

#define PIR_PIN 4
#define ALARM_PIN 5
#define HOLD_MS 10000
#define ON 1
#define LOOK_MS 50

static int sensor, alarm, left_ms;

static void look(void) {
    if (gpio_get(sensor)) {
        if (left_ms == 0) {
            gpio_set(alarm, ON);
            printf("motion\n");
        }
        left_ms = HOLD_MS + LOOK_MS;
    } else if (left_ms > 0) {
        left_ms = left_ms > LOOK_MS ? left_ms - LOOK_MS : 0;
        if (left_ms == 0) {
            gpio_set(alarm, !ON);
            printf("quiet\n");
        }
    }
}

void on_init(void) {
    sensor = gpio_open(PIR_PIN, GPIO_IN | GPIO_PULLDOWN);
    alarm = gpio_open(ALARM_PIN, GPIO_OUT);
    if (!ON) {
        gpio_set(alarm, 1); /* a pin starts low */
    }
    every(LOOK_MS, look);
}

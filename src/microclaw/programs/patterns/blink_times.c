/* Blink a number of times: the pin changes its level every
 * HALF_PERIOD_MS until it was on TIMES times. ON is the level
 * that lights: 0 where the LED is lit by low. */
#include "microclaw.h"

#define PIN 2
#define HALF_PERIOD_MS 500
#define TIMES 3
#define ON 1

int main(void) {
    int led = gpio_open(PIN, GPIO_OUT);
    for (int i = 0; i < TIMES; i++) {
        gpio_set(led, ON);
        delay(HALF_PERIOD_MS);
        gpio_set(led, !ON);
        delay(HALF_PERIOD_MS);
    }
}

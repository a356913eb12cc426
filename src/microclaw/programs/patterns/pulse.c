/* Pulse: the pin is on for FOR_MS, once. ON is the level that
 * lights: 0 where the LED is lit by low. */
#include "microclaw.h"

#define PIN 2
#define FOR_MS 200
#define ON 1

int main(void) {
    int output = gpio_open(PIN, GPIO_OUT);
    gpio_set(output, ON);
    delay(FOR_MS);
    gpio_set(output, !ON);
}

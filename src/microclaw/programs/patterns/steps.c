/* Steps: after WAIT_1_MS the first pin gets LEVEL_1, WAIT_2_MS
 * later the second one LEVEL_2, if TWO is 1. Each pin is left
 * alone until its step. */
#include "microclaw.h"

#define WAIT_1_MS 0
#define PIN_1 2
#define LEVEL_1 1
#define TWO 1
#define WAIT_2_MS 1000
#define PIN_2 4
#define LEVEL_2 1

int main(void) {
    if (WAIT_1_MS > 0) {
        delay(WAIT_1_MS);
    }
    int first = gpio_open(PIN_1, GPIO_OUT);
    gpio_set(first, LEVEL_1);
    if (TWO) {
        delay(WAIT_2_MS);
        int second = PIN_2 == PIN_1 ? first : gpio_open(PIN_2, GPIO_OUT);
        gpio_set(second, LEVEL_2);
    }
}

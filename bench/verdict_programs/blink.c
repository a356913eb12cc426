#include "microclaw.h"
#define LED 2
#define HALF_MS 500
int main(void) {
    int led = gpio_open(LED, GPIO_OUT);
    for (;;) {
        gpio_set(led, 1);
        delay(HALF_MS);
        gpio_set(led, 0);
        delay(HALF_MS);
    }
}

#include "microclaw.h"
int main(void) {
    int sensor = gpio_open(6, GPIO_IN | GPIO_PULLDOWN), armed = gpio_open(4, GPIO_IN | GPIO_PULLUP);
    int siren = gpio_open(7, GPIO_OUT), was = 0;
    for (;; delay(20)) {
        int now = gpio_get(sensor);
        if (now && !was && gpio_get(armed)) {
            gpio_set(siren, 1);
            delay(500);
            gpio_set(siren, 0);
        }
        was = now;
    }
}

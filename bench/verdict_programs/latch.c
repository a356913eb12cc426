#include "microclaw.h"
int main(void) {
    int set = gpio_open(4, GPIO_IN | GPIO_PULLUP), clear = gpio_open(6, GPIO_IN | GPIO_PULLUP);
    int motor = gpio_open(7, GPIO_OUT);
    for (;; delay(5)) {
        if (!gpio_get(clear)) {
            gpio_set(motor, 0);
        } else if (!gpio_get(set)) {
            gpio_set(motor, 1);
        }
    }
}

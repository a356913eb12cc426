#include "microclaw.h"
int main(void) {
    int button = gpio_open(4, GPIO_IN | GPIO_PULLUP);
    int led = gpio_open(2, GPIO_OUT);
    for (;;) {
        gpio_set(led, !gpio_get(button));
        delay(10);
    }
}

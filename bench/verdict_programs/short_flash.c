#include "microclaw.h"
int main(void) {
    int led = gpio_open(7, GPIO_OUT);
    while (1) {
        gpio_set(led, 1);
        delay(20);
        gpio_set(led, 0);
        delay(1980);
    }
}

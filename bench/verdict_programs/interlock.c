#include "microclaw.h"
int main(void) {
    int up = gpio_open(7, GPIO_OUT), down = gpio_open(8 + 2, GPIO_OUT);
    for (;;) {
        gpio_set(up, 1);
        delay(2000);
        gpio_set(up, 0);
        delay(500);
        gpio_set(down, 1);
        delay(2000);
        gpio_set(down, 0);
        delay(500);
    }
}

#include "microclaw.h"
int main(void) {
    led = gpio_open(2, GPIO_OUT);
    for (i = 0; i < 10; i++) {
        gpio_toggle(led);
        delay(100);
    }
}

#include "microclaw.h"
int main(void) {
    int button = gpio_open(4, GPIO_IN | GPIO_PULLUP), lamp = pwm_open(5, 1000);
    for (;; delay(10)) {
        pwm_set(lamp, gpio_get(button) ? 51 : 255);
    }
}

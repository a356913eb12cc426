#include "microclaw.h"
int main(void) {
    int led = gpio_open(2);
    gpio_set(led);
    delay();
    int p = pwm_open(5);
    pwm_set(p, 1, 2);
}

#include "microclaw.h"
int main(void) {
    int led = gpio_open(2, GPIO_OUTPUT);
    gpio_write(led, 1);
    gpio_read(led);
    pwm_write(led, 3);
}

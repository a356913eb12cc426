#include "microclaw.h"
int main(void) {
    int led = gpio_open(2, GPIO_OUT);
    void blink(void) { gpio_toggle(led); }
    every(500, blink);
}

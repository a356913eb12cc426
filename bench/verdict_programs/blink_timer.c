#include "microclaw.h"
static int led, on;
static void toggle(void) {
    on = !on;
    gpio_set(led, on);
}
void on_init(void) {
    led = gpio_open(5, GPIO_OUT);
    every(100, toggle);
}

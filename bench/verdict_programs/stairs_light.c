#include "microclaw.h"
static int button, lamp, timer = -1, was = 1;
static void off(void) {
    gpio_set(lamp, 0);
    timer = -1;
}
static void look(void) {
    int now = gpio_get(button);
    if (!now && was && timer < 0) {
        gpio_set(lamp, 1);
        timer = after(3000, off);
    }
    was = now;
}
void on_init(void) {
    button = gpio_open(4, GPIO_IN | GPIO_PULLUP);
    lamp = gpio_open(5, GPIO_OUT);
    every(20, look);
}

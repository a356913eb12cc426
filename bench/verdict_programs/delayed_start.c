#include "microclaw.h"
static int pump;
static void off(void) { gpio_set(pump, 0); }
static void on(void) {
    gpio_set(pump, 1);
    after(4000, off);
}
void on_init(void) {
    pump = gpio_open(5, GPIO_OUT);
    after(3000, on);
}

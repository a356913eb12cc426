#include "microclaw.h"
static int red, yellow, green;
static void show(int r, int y, int g, unsigned ms) {
    gpio_set(red, r);
    gpio_set(yellow, y);
    gpio_set(green, g);
    delay(ms);
}
int main(void) {
    red = gpio_open(4, GPIO_OUT);
    yellow = gpio_open(5, GPIO_OUT);
    green = gpio_open(6, GPIO_OUT);
    for (;;) {
        show(1, 0, 0, 4000);
        show(1, 1, 0, 1000);
        show(0, 0, 1, 4000);
        gpio_set(green, 0); // never with yellow, which show would set first
        show(0, 1, 0, 1000);
    }
}

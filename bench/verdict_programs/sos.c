#include "microclaw.h"
static int lamp;
static void flash(unsigned ms) {
    gpio_set(lamp, 1);
    delay(ms);
    gpio_set(lamp, 0);
    delay(200);
}
int main(void) {
    lamp = gpio_open(2, GPIO_OUT);
    for (;;) {
        for (int i = 0; i < 3; i++) flash(200);
        for (int i = 0; i < 3; i++) flash(600);
        for (int i = 0; i < 3; i++) flash(200);
        delay(1200);
    }
}

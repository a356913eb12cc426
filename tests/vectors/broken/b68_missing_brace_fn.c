#include "microclaw.h"
static int led;
void blink(void) {
    if (led) {
        gpio_toggle(led);
int main(void) {
    led = gpio_open(2, GPIO_OUT);
    every(500, blink);
    return 0;
}

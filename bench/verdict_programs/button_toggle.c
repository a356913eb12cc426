#include "microclaw.h"
#define QUIET_MS 25
int main(void) {
    int button = gpio_open(4, GPIO_IN | GPIO_PULLUP);
    int led = gpio_open(2, GPIO_OUT);
    int was = 1, stable = 1, on = 0;
    unsigned changed = millis();
    for (;; delay(3)) {
        int now = gpio_get(button);
        if (now != was) {
            was = now;
            changed = millis();
        }
        if (now != stable && millis() - changed >= QUIET_MS) {
            stable = now;
            if (!stable) {
                on = !on;
                gpio_set(led, on);
            }
        }
    }
}

#include "microclaw.h"
int main(void) {
    int led = gpio_open(2, GPIO_OUT), on = 0;
    unsigned last = millis();
    for (;;) {
        if (millis() - last >= 400) {
            last += 400;
            on = !on;
            gpio_set(led, on);
        }
        delay(2);
    }
}

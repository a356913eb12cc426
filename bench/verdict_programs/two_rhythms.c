#include "microclaw.h"
int main(void) {
    int a = gpio_open(5, GPIO_OUT), b = gpio_open(6, GPIO_OUT);
    int a_on = 0, b_on = 0;
    unsigned a_last = millis(), b_last = a_last;
    for (;; delay(5)) {
        unsigned now = millis();
        if (now - a_last >= 300) {
            a_last += 300;
            gpio_set(a, a_on = !a_on);
        }
        if (now - b_last >= 700) {
            b_last += 700;
            gpio_set(b, b_on = !b_on);
        }
    }
}

#include "microclaw.h"
int main(void) {
    int lamp = pwm_open(5, 1000);
    for (;;) {
        for (int duty = 0; duty <= 255; duty++) {
            pwm_set(lamp, duty);
            delay(8);
        }
        for (int duty = 254; duty > 0; duty--) {
            pwm_set(lamp, duty);
            delay(8);
        }
    }
}

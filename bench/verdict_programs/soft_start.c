#include "microclaw.h"
static int fan, duty;
static void more(void) {
    if (duty < 204) {
        duty += 4;
        pwm_set(fan, duty);
    }
}
void on_init(void) {
    fan = pwm_open(7, 500);
    every(50, more);
}

/* Fast blink: the pin goes on and off FREQUENCY_HZ times a second,
 * forever: by PWM, as a loop would lose time with each change. */
#include "microclaw.h"

#define PIN 5
#define FREQUENCY_HZ 100

void on_init(void) {
    int output = pwm_open(PIN, FREQUENCY_HZ);
    pwm_set(output, 128);
}

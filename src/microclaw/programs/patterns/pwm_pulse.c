/* PWM pulse: the pin is driven with DUTY of 255 for FOR_MS, once.
 * ON is the level that lights: 0 where the LED is lit by low. */
#include "microclaw.h"

#define PIN 5
#define DUTY 128
#define FREQUENCY_HZ 1000
#define FOR_MS 1000
#define ON 1

int main(void) {
    int light = pwm_open(PIN, FREQUENCY_HZ);
    pwm_set(light, ON ? DUTY : 255 - DUTY);
    delay(FOR_MS);
    pwm_set(light, ON ? 0 : 255);
}

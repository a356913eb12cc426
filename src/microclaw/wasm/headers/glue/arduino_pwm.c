/* Arduino.h's analogWrite on pwm_open. */
#include "arduino.h"
#include <microclaw.h>

#define SLOTS 3
#define FREQUENCY_HZ 1000

static struct {
    int pin; /* + 1; 0 is a free slot */
    int pwm;
} slots[SLOTS];

bool microclaw_pwm_write(int pin, int duty) {
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].pin == pin + 1) {
            pwm_set(slots[i].pwm, duty);
            return true;
        }
    }
    return false;
}

void analogWrite(int pin, int duty) {
    if (pin < 0 || pin > 63 || microclaw_pwm_write(pin, duty)) {
        return;
    }
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].pin) {
            continue;
        }
        microclaw_release_pin(pin);
        int pwm = pwm_open(pin, FREQUENCY_HZ);
        if (pwm >= 0) {
            slots[i].pin = pin + 1;
            slots[i].pwm = pwm;
            pwm_set(pwm, duty);
        }
        return;
    }
}

/* Arduino.h's analogWrite on pwm_open. */
#include "arduino.h"
#include <microclaw.h>

#define SLOTS 3
#define FREQUENCY_HZ 1000

static struct {
    int pin; /* + 1; 0 is a free slot */
    int pwm, duty;
} slots[SLOTS];

/* soft_pwm.c, where the build links it. */
__attribute__((weak)) bool microclaw_soft_pwm(int pin, int duty, bool open) {
    (void)pin;
    (void)duty;
    (void)open;
    return false;
}

bool microclaw_pwm_write(int pin, int duty) {
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].pin == pin + 1) {
            slots[i].duty = duty;
            pwm_set(slots[i].pwm, duty);
            return true;
        }
    }
    return microclaw_soft_pwm(pin, duty, false);
}

int microclaw_pwm_give_up(int *duty) {
    for (int i = SLOTS - 1; i >= 0; i--) {
        if (slots[i].pin) {
            int pin = slots[i].pin - 1;
            *duty = slots[i].duty;
            pwm_close(slots[i].pwm);
            slots[i].pin = 0;
            return pin;
        }
    }
    return -1;
}

void analogWrite(uint8_t pin, int duty) {
    if (pin > 63 || microclaw_pwm_write(pin, duty)) {
        return;
    }
    microclaw_release_pin(pin);
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].pin) {
            continue;
        }
        int pwm = pwm_open(pin, FREQUENCY_HZ);
        if (pwm >= 0) {
            slots[i].pin = pin + 1;
            slots[i].pwm = pwm;
            slots[i].duty = duty;
            pwm_set(pwm, duty);
            return;
        }
        break;
    }
    (void)microclaw_soft_pwm(pin, duty, true);
}

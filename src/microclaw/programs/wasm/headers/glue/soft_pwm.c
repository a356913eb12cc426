/* analogWrite beyond the pins that the hardware's PWM serves: one timer switches all others. A pin is switched once what it owes,
 * duty times the real time that passed, is more than 2 ms of full power, so that the average is right however late the timer is:
 * 62 Hz at half power, less towards 0 and 255. The build links it where a program may need it (checks.py). */
#include "arduino.h"
#include <microclaw.h>

#pragma clang diagnostic ignored "-Wuser-defined-warnings"
#define SLOTS 48
#define SWITCH_AT (2 * 255)
#define MOST_OWED (400 * 255)

static struct {
    short gpio; /* + 1; 0 is a free slot */
    uint8_t pin, duty;
    bool level;
    int owed;
} slots[SLOTS];
static unsigned last_ms;
static int used;

static void set(int i, bool level) {
    if (slots[i].level != level) {
        slots[i].level = level;
        gpio_set(slots[i].gpio - 1, level);
    }
}

static void tick(void) {
    unsigned now_ms = millis();
    int passed_ms = (int)(now_ms - last_ms);
    last_ms = now_ms;
    for (int i = 0; i < used; i++) {
        int owed = slots[i].owed + (slots[i].duty - (slots[i].level ? 255 : 0)) * passed_ms;
        slots[i].owed = owed > MOST_OWED ? MOST_OWED : owed < -MOST_OWED ? -MOST_OWED : owed;
        if (slots[i].level ? owed <= -SWITCH_AT : owed >= SWITCH_AT) {
            set(i, !slots[i].level);
        }
    }
}

const char microclaw_has_soft_pwm = 1; /* what the build asks the linker for */

/* Whether the pin has software PWM, which it gets if `open`. */
bool microclaw_soft_pwm(int pin, int duty, bool open) {
    int i = 0;
    while (i < used && slots[i].pin != pin) {
        i++;
    }
    if (i == used) {
        if (!open || used == SLOTS) {
            return false;
        }
        int gpio = gpio_open(pin, GPIO_OUT);
        if (gpio < 0 || (used == 0 && every(1, tick) < 0)) {
            return false;
        }
        last_ms = used ? last_ms : millis();
        slots[i].gpio = (short)(gpio + 1);
        slots[i].pin = (uint8_t)pin;
        used++;
    }
    duty = duty < 0 ? 0 : duty > 255 ? 255 : duty;
    slots[i].duty = (uint8_t)duty;
    if (duty == 0 || duty == 255) {
        slots[i].owed = 0;
        set(i, duty != 0);
    }
    return true;
}

int microclaw_pwm_open(int pin, int frequency_hz) {
    microclaw_release_pin(pin);
    int pwm = pwm_open(pin, frequency_hz), moved, duty;
    while (pwm < 0 && (moved = microclaw_pwm_give_up(&duty)) >= 0) {
        if (moved != pin) {
            (void)microclaw_soft_pwm(moved, duty, true);
        }
        pwm = pwm_open(pin, frequency_hz);
    }
    return pwm;
}

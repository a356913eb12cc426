/* Arduino.h's tone, by PWM. */
#include <Arduino.h>
extern "C" int microclaw_pwm_open(int pin, int frequency_hz);

static int pwm = -1, sounding = -1, ending = -1;

static void silence() {
    if (pwm >= 0) {
        pwm_set(pwm, 0);
        pwm_close(pwm);
    }
    if (ending >= 0) {
        cancel(ending);
    }
    pwm = sounding = ending = -1;
}

void tone(uint8_t pin, unsigned frequency_hz, unsigned long duration_ms) {
    if (sounding >= 0 && sounding != pin) {
        return; /* one tone at a time, as on every Arduino */
    }
    silence();
    if (!frequency_hz) {
        return; /* a rest */
    }
    if (frequency_hz > 9000) {
        printf("tone: %u Hz is not possible here, only 1 to 9000\n", frequency_hz);
        return;
    }
    pwm = microclaw_pwm_open(pin, (int)frequency_hz);
    if (pwm < 0) {
        printf("tone: pin %d gets no PWM, at most 3 pins have it\n", pin);
        return;
    }
    sounding = pin;
    pwm_set(pwm, 128);
    if (duration_ms) {
        ending = after((unsigned)duration_ms, silence);
    }
}

void noTone(uint8_t pin) {
    if (pin == sounding) {
        silence();
    }
}

/* The PWM of tone and Servo in a program without software PWM. */
#include "arduino.h"
#include <microclaw.h>

#pragma clang diagnostic ignored "-Wuser-defined-warnings"
__attribute__((weak)) int microclaw_pwm_open(int pin, int frequency_hz) {
    microclaw_release_pin(pin);
    return pwm_open(pin, frequency_hz);
}

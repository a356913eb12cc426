/* arduino.h: what the two files behind Arduino.h share. Programs cannot include it. */
#pragma once
#include <stdbool.h>

void microclaw_release_pin(int pin);         /* close a digital pin before PWM takes it */
bool microclaw_pwm_write(int pin, int duty); /* false: this pin has no PWM */

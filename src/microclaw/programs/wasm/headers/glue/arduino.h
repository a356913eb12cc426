/* arduino.h: what the two files behind Arduino.h share. Programs cannot include it. */
#pragma once
#include <stdbool.h>

void microclaw_release_pin(int pin);         /* close a digital pin before PWM takes it */
/* A timer of the hardware's PWM for tone and Servo, which must have one; -1: none is left. With soft_pwm.c the last pin of
 * analogWrite gives its own up, and is switched by software from then on. */
int microclaw_pwm_open(int pin, int frequency_hz);
int microclaw_pwm_give_up(int *duty); /* the pin, which is closed; -1: analogWrite has none */
bool microclaw_pwm_write(int pin, int duty); /* false: this pin has no PWM */

/* The time of an echo, and the distance that the speed of sound makes of it. */
#include <HCSR04.h>

enum { SETTLE_US = 2, TRIGGER_US = 10, ECHO_US = 38000, START_US = 5800 };

static unsigned long echo_us(int trigger, int echo, unsigned long limit_us) {
    pinMode(trigger, OUTPUT);
    pinMode(echo, INPUT);
    digitalWrite(trigger, LOW);
    delayMicroseconds(SETTLE_US);
    digitalWrite(trigger, HIGH);
    delayMicroseconds(TRIGGER_US);
    digitalWrite(trigger, LOW);
    return pulseIn(echo, HIGH, limit_us);
}

float HCSR04::dist() const { return (float)echo_us(trigger_, echo_, ECHO_US) / 58; }

float UltraSonicDistanceSensor::measureDistanceCm(float celsius) {
    float cm_per_us = 0.03313f + 0.0000606f * celsius;
    unsigned long limit_us = timeout_us_ ? timeout_us_ : (unsigned long)(2.0f * (float)max_cm_ / cm_per_us) + START_US;
    float cm = (float)echo_us(trigger_, echo_, limit_us) / 2 * cm_per_us;
    return cm == 0 || cm > (float)max_cm_ ? -1 : cm;
}

/* A ping: 10 us on the trigger, then the length of the pulse on the echo. */
#include <NewPing.h>

enum { SETTLE_US = 4, TRIGGER_US = 10, START_US = 5800, MAX_ITERATIONS = 16 };

unsigned NewPing::ping(unsigned max_cm) {
    unsigned limit_us = (max_cm && max_cm < max_cm_ ? max_cm : max_cm_) * US_ROUNDTRIP_CM;
    pinMode(trigger_, OUTPUT);
    if (echo_ != trigger_) {
        pinMode(echo_, INPUT);
    }
    digitalWrite(trigger_, LOW);
    delayMicroseconds(SETTLE_US);
    digitalWrite(trigger_, HIGH);
    delayMicroseconds(TRIGGER_US);
    digitalWrite(trigger_, LOW);
    if (echo_ == trigger_) {
        pinMode(echo_, INPUT);
    }
    unsigned us = (unsigned)pulseIn(echo_, HIGH, limit_us + START_US);
    return us > limit_us ? NO_ECHO : us;
}

unsigned long NewPing::ping_median(uint8_t iterations, unsigned max_cm) {
    unsigned us[MAX_ITERATIONS];
    int count = 0;
    iterations = iterations < MAX_ITERATIONS ? iterations : (uint8_t)MAX_ITERATIONS;
    for (uint8_t i = 0; i < iterations; i++) {
        if (i) {
            delay(PING_MEDIAN_DELAY / 1000);
        }
        unsigned measured = ping(max_cm);
        if (measured == NO_ECHO) {
            continue;
        }
        int place = count++;
        for (; place > 0 && us[place - 1] > measured; place--) {
            us[place] = us[place - 1];
        }
        us[place] = measured;
    }
    return count ? us[count / 2] : NO_ECHO;
}

/* Servo sweep: the servo on the pin turns from 0 to 180 degrees
 * and back once in PERIOD_MS, for ever. */
#include <Servo.h>

#define PIN 4
#define PERIOD_MS 4000
#define STEP_MS 20
#define MIN_US 500
#define MAX_US 2500

Servo servo;
unsigned long last_ms;
long position_ms;

void setup() {
    servo.attach(PIN, MIN_US, MAX_US);
    servo.writeMicroseconds(MIN_US);
    last_ms = millis();
}

void loop() {
    if (millis() - last_ms >= STEP_MS) {
        last_ms += STEP_MS;
        position_ms = (position_ms + STEP_MS) % PERIOD_MS;
        long way_ms = position_ms * 2 < PERIOD_MS ? position_ms : PERIOD_MS - position_ms;
        servo.writeMicroseconds(MIN_US + (long long)(MAX_US - MIN_US) * 2 * way_ms / PERIOD_MS);
    }
}

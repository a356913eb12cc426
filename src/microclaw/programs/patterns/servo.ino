/* Servo: the servo on the pin turns to ANGLE, 0 to 180 degrees,
 * and is held there. Its pulses are MIN_US to MAX_US long. */
#include <Servo.h>

#define PIN 4
#define ANGLE 90
#define MIN_US 500
#define MAX_US 2500

Servo servo;

void setup() {
    servo.attach(PIN, MIN_US, MAX_US);
    servo.write(ANGLE);
}

void loop() {
}

// Turns a motor on an A4988 a turn forth and back, with a ramp.
#include <AccelStepper.h>

AccelStepper stepper(AccelStepper::DRIVER, 4, 5);

void setup() {
  pinMode(6, OUTPUT);
  digitalWrite(6, LOW);
  stepper.setMaxSpeed(400);
  stepper.setAcceleration(800);
  stepper.moveTo(200);
}

void loop() {
  if (stepper.distanceToGo() == 0) {
    delay(1000);
    stepper.moveTo(200 - stepper.currentPosition());
  }
  stepper.run();
}

// Turns a 28BYJ-48 a quarter forth and an eighth back.
#include <Stepper.h>

const int STEPS_PER_REVOLUTION = 2048;
Stepper myStepper(STEPS_PER_REVOLUTION, 4, 6, 5, 7);

void setup() {
  Serial.begin(115200);
  myStepper.setSpeed(10);
  myStepper.step(1);
  myStepper.step(512);
  Serial.println("forth");
  delay(1000);
  myStepper.step(-256);
  Serial.println("back");
}

void loop() {
  delay(1000);
}

#include <Servo.h>
Servo arm;

void setup() {
  arm.attach(18);
}

void loop() {
  arm.write(90);
  analogWrite(5, 128);
  delay(1000);
}

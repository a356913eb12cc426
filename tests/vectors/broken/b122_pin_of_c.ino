#include <Servo.h>
Servo s;
void setup() {
  s.attach(19);
}
void loop() {}

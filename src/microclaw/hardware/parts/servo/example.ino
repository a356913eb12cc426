// Turns a servo to one end, to the middle and to the other end.
#include <Servo.h>

Servo myservo;

void setup() {
  myservo.attach(4);
  myservo.write(0);
  delay(1000);
  myservo.write(90);
  delay(1000);
  myservo.write(180);
}

void loop() {
  delay(1000);
}

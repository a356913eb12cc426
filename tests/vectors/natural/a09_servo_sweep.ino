#include <Servo.h>

Servo myservo;  // create servo object to control a servo
int pos = 0;

void setup() {
  Serial.begin(9600);
  myservo.attach(5);
}

void loop() {
  for (pos = 0; pos <= 180; pos += 10) {
    myservo.write(pos);
    delay(15);
  }
  Serial.println(myservo.read());
  for (pos = 180; pos >= 0; pos -= 10) {
    myservo.write(pos);
    delay(15);
  }
  Serial.println(myservo.read());
}

// An arm with four joints, on a board with three PWM timers.
#include <ESP32Servo.h>
Servo joints[4];
const int PINS[4] = {4, 5, 6, 7};

void setup() {
  Serial.begin(115200);
  for (int i = 0; i < 4; i++) {
    joints[i].attach(PINS[i]);
    joints[i].write(45 * i);
  }
  Serial.println("ready");
}

void loop() { delay(1000); }

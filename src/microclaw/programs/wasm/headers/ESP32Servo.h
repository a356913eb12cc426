/* ESP32Servo.h: the same as Servo.h; its timers are chosen here. */
#pragma once
#include <Servo.h>
class ESP32PWM {
  public:
    static void allocateTimer(int) {}
};

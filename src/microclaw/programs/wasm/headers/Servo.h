/* Servo.h: hobby servos on PWM at 50 Hz, to 2.5 us; at most 3 at a time, with tone. analogWrite's pins give way to them. */
#pragma once
#include <Arduino.h>
#define MARK_(condition, text) __attribute__((diagnose_if(condition, "microclaw mark " text, "warning")))
#define PIN_MARKS_(p, what) \
    MARK_((p) == (p), what " known") MARK_((p) < 0 || (p) > 63, what " outside") \
    MARK_((p) & 1, what " 1") MARK_((p) & 2, what " 2") MARK_((p) & 4, what " 4") \
    MARK_((p) & 8, what " 8") MARK_((p) & 16, what " 16") MARK_((p) & 32, what " 32")
class Servo {
  public:
    int attach(int pin, int min_us = 544, int max_us = 2400) PIN_MARKS_(pin, "pwm");
    void detach();
    void write(int angle); /* 0 to 180 degrees; a greater value is taken as microseconds */
    void writeMicroseconds(int us);
    int read() const { return (int)((long)(us_ - min_us_) * 180 + (max_us_ - min_us_) / 2) / (max_us_ - min_us_); }
    int readMicroseconds() const { return us_; }
    bool attached() const { return pwm_ >= 0; }
    void setPeriodHertz(int) {} /* ESP32Servo's: it is 50 */

  private:
    int pwm_ = -1, min_us_ = 544, max_us_ = 2400, us_ = 1500;
};
#undef MARK_
#undef PIN_MARKS_

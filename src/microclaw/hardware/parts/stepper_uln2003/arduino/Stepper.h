/* Stepper.h: stepper motors on two or four pins; our own code behind the names of the library. A 28BYJ-48 on a ULN2003 board
 * has its pins in the order IN1, IN3, IN2, IN4. */
#pragma once
#include <Arduino.h>
#include <arduino/pin_arguments.h>
class Stepper {
  public:
    Stepper(int steps_of_turn, int pin1, int pin2) MICROCLAW_OUTPUT_PIN(pin1) MICROCLAW_OUTPUT_PIN(pin2);
    Stepper(int steps_of_turn, int pin1, int pin2, int pin3, int pin4) MICROCLAW_OUTPUT_PIN(pin1) MICROCLAW_OUTPUT_PIN(pin2)
        MICROCLAW_OUTPUT_PIN(pin3) MICROCLAW_OUTPUT_PIN(pin4);
    void setSpeed(long turns_per_minute);
    void step(int steps); /* returns when it has made them; negative ones are the other way */
    int version() const { return 5; }

  private:
    void begin();
    void energize();
    int steps_of_turn_, pin_count_, pins_[4];
    unsigned step_number_ = 0;
    unsigned long step_us_ = 0, last_us_ = 0;
};

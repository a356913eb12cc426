/* HCSR04.h: the distance sensor under the names of the two libraries that have this header; our own code. */
#pragma once
#include <Arduino.h>
#include <arduino/pin_arguments.h>
class HCSR04 {
  public:
    HCSR04(int trig, int echo) MICROCLAW_OUTPUT_PIN(trig) MICROCLAW_INPUT_PIN(echo) : trigger_(trig), echo_(echo) {}
    float dist() const; /* cm; 0 if nothing is there */

  private:
    int trigger_, echo_;
};
class UltraSonicDistanceSensor {
  public:
    UltraSonicDistanceSensor(int trig, int echo, unsigned max_cm = 400, unsigned long timeout_us = 0)
        MICROCLAW_OUTPUT_PIN(trig) MICROCLAW_INPUT_PIN(echo)
        : trigger_(trig), echo_(echo), max_cm_(max_cm), timeout_us_(timeout_us) {}
    float measureDistanceCm(float celsius = 19.3f); /* -1 if nothing is there; at this temperature sound has 343 m/s */

  private:
    int trigger_, echo_;
    unsigned max_cm_;
    unsigned long timeout_us_;
};

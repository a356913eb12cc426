/* NewPing.h: ultrasonic distance sensors on two pins, or on one; our own code behind the names of the library. Without its
 * functions for timers: programs get no interrupts. */
#pragma once
#include <Arduino.h>
#include <arduino/pin_arguments.h>
#define NO_ECHO 0
#define MAX_SENSOR_DISTANCE 500
#define US_ROUNDTRIP_CM 57
#define US_ROUNDTRIP_IN 146
#define PING_MEDIAN_DELAY 29000
class NewPing {
  public:
    NewPing(int trig, int echo, unsigned max_cm = MAX_SENSOR_DISTANCE)
        MICROCLAW_OUTPUT_PIN(trig) MICROCLAW_INPUT_PIN(echo)
        : trigger_(trig), echo_(echo), max_cm_(max_cm < MAX_SENSOR_DISTANCE ? max_cm : MAX_SENSOR_DISTANCE) {}
    unsigned ping(unsigned max_cm = 0); /* us of the way there and back; 0 (NO_ECHO) if nothing is within the distance */
    unsigned long ping_cm(unsigned max_cm = 0) { return convert_cm(ping(max_cm)); }
    unsigned long ping_in(unsigned max_cm = 0) { return convert_in(ping(max_cm)); }
    unsigned long ping_median(uint8_t iterations = 5, unsigned max_cm = 0); /* us */
    static unsigned convert_cm(unsigned us) { return (us + US_ROUNDTRIP_CM / 2) / US_ROUNDTRIP_CM; }
    static unsigned convert_in(unsigned us) { return (us + US_ROUNDTRIP_IN / 2) / US_ROUNDTRIP_IN; }

  private:
    int trigger_, echo_;
    unsigned max_cm_;
};

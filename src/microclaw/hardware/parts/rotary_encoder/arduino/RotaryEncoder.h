/* RotaryEncoder.h: a rotary encoder that is polled with tick(); our own code behind the names of the library. */
#pragma once
#include <Arduino.h>
#include <arduino/pin_arguments.h>
class RotaryEncoder {
  public:
    enum class Direction { NOROTATION = 0, CLOCKWISE = 1, COUNTERCLOCKWISE = -1 };
    enum class LatchMode { FOUR3 = 1, FOUR0 = 2, TWO03 = 3 }; /* both pins high in a detent; both low; either */
    RotaryEncoder(int pin1, int pin2, LatchMode mode = LatchMode::FOUR0) MICROCLAW_PULLUP_PIN(pin1) MICROCLAW_PULLUP_PIN(pin2);
    long getPosition() const { return position_; }
    Direction getDirection(); /* since the last call */
    void setPosition(long position);
    void tick();
    void tick(int signal1, int signal2);
    unsigned long getMillisBetweenRotations() const { return position_ms_ - position_before_ms_; }
    unsigned long getRPM() const; /* with 20 detents a turn */

  private:
    int pin1_, pin2_, state_;
    LatchMode mode_;
    long quarters_ = 0, position_ = 0, seen_ = 0;
    unsigned long position_ms_ = 0, position_before_ms_ = 0;
};

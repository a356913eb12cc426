#ifndef Flasher_h
#define Flasher_h

#if defined(ARDUINO) && ARDUINO >= 100
#include <Arduino.h>
#else
#include "WProgram.h"
#endif

class Flasher {
 public:
  explicit Flasher(unsigned long periodMs);
  void begin(uint8_t pin);
  void update();
  unsigned long flashes() const { return _flashes; }

 private:
  uint8_t _pin = 0;
  bool _on = false;
  unsigned long _period;
  unsigned long _last = 0;
  unsigned long _flashes = 0;
};

extern Flasher DefaultFlasher;

#endif

#pragma once

#include "../config/config.h"

class Lights {
 public:
  explicit Lights(int pin) : pin(pin) {}
  void begin();
  void toggle();

 private:
  int pin;
  bool is_on = FIRST_LEVEL;
};

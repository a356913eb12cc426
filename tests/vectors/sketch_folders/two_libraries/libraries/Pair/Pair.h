#pragma once

#include <Flasher.h>

#include "settings.h"

class Pair {
 public:
  Pair(uint8_t first, uint8_t second) : _first(first), _second(second) {}
  void begin();
  void update();

 private:
  uint8_t _first;
  uint8_t _second;
  Flasher _fast{FAST_MS};
  Flasher _slow{2 * FAST_MS};
};

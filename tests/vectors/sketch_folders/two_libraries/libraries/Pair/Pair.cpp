#include "Pair.h"

void Pair::begin() {
  _fast.begin(_first);
  _slow.begin(_second);
}

void Pair::update() {
  _fast.update();
  _slow.update();
}

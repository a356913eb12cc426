#include "Flasher.h"

Flasher DefaultFlasher(250);

Flasher::Flasher(unsigned long periodMs) : _period(periodMs) {}

void Flasher::begin(uint8_t pin) {
  _pin = pin;
  pinMode(pin, OUTPUT);
}

void Flasher::update() {
  if (millis() - _last < _period) {
    return;
  }
  _last += _period;
  _on = !_on;
  _flashes += _on;
  digitalWrite(_pin, _on);
}

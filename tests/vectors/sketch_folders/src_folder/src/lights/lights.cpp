#include "lights.h"

#include <Arduino.h>

void Lights::begin() {
  pinMode(pin, OUTPUT);
}

void Lights::toggle() {
  is_on = !is_on;
  digitalWrite(pin, is_on);
}

#include "lamp.h"

#include <Arduino.h>

void Lamp::begin() {
  pinMode(pin, OUTPUT);
}

void Lamp::toggle() {
  digitalWrite(pin, !digitalRead(pin));
}

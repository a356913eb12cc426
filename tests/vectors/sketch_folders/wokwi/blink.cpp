#include <Arduino.h>

#include "pins.h"

void blink_once() {
  digitalWrite(LED, HIGH);
  delay(250);
  digitalWrite(LED, LOW);
  delay(250);
}

#include <Arduino.h>

#include "toggle.h"

static bool is_on;

void toggle() {
  is_on = !is_on;
  digitalWrite(LED, is_on);
}

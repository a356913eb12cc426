#include <Arduino.h>
#include <lamp.h>

#include "timing.h"

static Lamp lamp(LAMP_PIN);

void setup() {
  lamp.begin();
}

void loop() {
  lamp.toggle();
  wait_half_a_period();
}

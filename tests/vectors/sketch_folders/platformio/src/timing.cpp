#include "timing.h"

#include <Arduino.h>

void wait_half_a_period() {
  delay(250);
}

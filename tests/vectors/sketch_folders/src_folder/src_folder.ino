#include "src/lights/lights.h"

Lights lights(4);

void setup() {
  lights.begin();
}

void loop() {
  lights.toggle();
  delay(250);
}

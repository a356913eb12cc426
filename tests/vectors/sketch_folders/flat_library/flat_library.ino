#include "Flasher.h"

void setup() {
  DefaultFlasher.begin(4);
}

void loop() {
  DefaultFlasher.update();
  delay(5);
}

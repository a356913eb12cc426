#include "pins.h"

void blink_once();

void setup() {
  pinMode(LED, OUTPUT);
}

void loop() {
  blink_once();
}

#include "größe.h"

void setup() {
  pinMode(LED, OUTPUT);
}

void loop() {
  toggle();
  delay(250);
}

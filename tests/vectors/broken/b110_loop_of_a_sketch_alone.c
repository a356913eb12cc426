#include <Arduino.h>
void loop() {}

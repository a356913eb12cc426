#include <vector>
#include <Arduino.h>

std::vector<int> samples;

void setup() {
  samples.push_back(1);
}

void loop() {
  delay(100);
}

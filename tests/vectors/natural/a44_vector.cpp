#include <vector>
#include <Arduino.h>

std::vector<int> samples;

void setup() {
  for (int value : {3, 1, 2}) samples.push_back(value);
  Serial.println(samples.size());
}

void loop() {
  delay(100);
}

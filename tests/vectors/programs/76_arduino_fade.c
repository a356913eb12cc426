#include <Arduino.h>

int level = 0;
int change = 25;

void setup() { pinMode(4, OUTPUT); }

void loop() {
  int duty = constrain(map(level, 0, 100, -10, 300), 0, 255);
  analogWrite(4, duty);
  printf("%3d%% -> %d\n", level, duty);
  level += change;
  if (level <= 0 || level >= 100) {
    change = -change;
  }
  delay(30);
}

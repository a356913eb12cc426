#include <Pair.h>

Pair pair(4, 5);

void setup() {
  pair.begin();
}

void loop() {
  pair.update();
  delay(5);
}

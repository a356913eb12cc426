#include <FunctionalInterrupt.h>

struct Key {
  uint8_t pin;
  volatile int count;
};
Key key = {4, 0};
int changes = 0;

void pressed(void *what) {
  static_cast<Key *>(what)->count++;
}

void setup() {
  Serial.begin(115200);
  pinMode(key.pin, INPUT_PULLUP);
  pinMode(5, INPUT);
  attachInterruptArg(key.pin, pressed, &key, FALLING);
  int step = 10;
  attachInterrupt(5, [step]() { changes += step; }, CHANGE);
}

void loop() {
  delay(1000);
  Serial.print(key.count);
  Serial.print(" ");
  Serial.println(changes);
  if (key.count == 1) disableInterrupt(key.pin);
}

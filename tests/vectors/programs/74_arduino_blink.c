#include <Arduino.h>

const int ledPin = 2;
int count = 0;

void setup() {
  pinMode(ledPin, OUTPUT);
  printf("ready\n");
}

void loop() {
  digitalWrite(ledPin, HIGH);
  delay(500);
  digitalWrite(ledPin, LOW);
  delay(500);
  count++;
  printf("blink %d, pin %d\n", count, digitalRead(ledPin));
}

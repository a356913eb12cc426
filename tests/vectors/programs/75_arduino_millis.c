#include <Arduino.h>

#define LED 4
#define BUTTON 5

unsigned long previousMillis = 0;
const long interval = 1000;
int ledState = LOW;

void setup() {
  pinMode(LED, OUTPUT);
  pinMode(BUTTON, INPUT_PULLUP);
  previousMillis = millis();
}

void loop() {
  unsigned long currentMillis = millis();
  if (currentMillis - previousMillis >= interval) {
    previousMillis += interval;
    ledState = !ledState;
    digitalWrite(LED, ledState);
    printf("led %s, button %s\n", digitalRead(LED) ? "on" : "off", digitalRead(BUTTON) == LOW ? "down" : "up");
  }
}

#include <Arduino.h>
const int relay = 7;
void setup() {
    pinMode(relay, OUTPUT);
}
void loop() {
    digitalWrite(relay, HIGH);
    delay(1500);
    digitalWrite(relay, LOW);
    delay(500);
}

#include <Arduino.h>
int state = LOW, reading = HIGH, stable = HIGH;
unsigned long changed;
void setup() {
    pinMode(4, INPUT_PULLUP);
    pinMode(2, OUTPUT);
}
void loop() {
    int now = digitalRead(4);
    if (now != reading) {
        reading = now;
        changed = millis();
    }
    if (now != stable && millis() - changed > 20) {
        stable = now;
        if (stable == LOW) {
            state = !state;
            digitalWrite(2, state);
        }
    }
    delay(2);
}

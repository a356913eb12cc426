/* Blink: the pin changes its level every HALF_PERIOD_MS.
 * ON is the level that lights: 0 for an LED lit by low. */
#define PIN 2
#define HALF_PERIOD_MS 500
#define ON 1

void setup() {
    pinMode(PIN, OUTPUT);
    digitalWrite(PIN, ON);
}

void loop() {
    delay(HALF_PERIOD_MS);
    digitalWrite(PIN, !digitalRead(PIN));
}

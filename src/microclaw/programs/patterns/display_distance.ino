/* Distance on a display: an HC-SR04 measures twice a second. */
#include <NewPing.h>
#include "microclaw.h"

#define DISPLAY screen_ssd1306(8, 9, 128, 64, 0x3c)
#define TRIG_PIN 5
#define ECHO_PIN 18
#define EVERY_MS 500

NewPing sonar(TRIG_PIN, ECHO_PIN);
int display;

void setup() {
    Serial.begin(115200);
    display = DISPLAY;
}

void loop() {
    unsigned long cm = sonar.ping_cm();
    if (cm == NO_ECHO) {
        screen_text(display, "no echo");
    } else {
        screen_number(display, (int)cm, "cm", "distance");
        Serial.printf("distance %lu\n", cm);
    }
    delay(EVERY_MS);
}

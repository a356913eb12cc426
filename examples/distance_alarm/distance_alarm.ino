/* Distance alarm: while something is nearer than LIMIT_CM to the
 * HC-SR04, the buzzer beeps: BEEP_MS of tone, BEEP_MS of silence. */
#include <NewPing.h>

#define TRIG_PIN 5
#define ECHO_PIN 18
#define BUZZER_PIN 6
#define LIMIT_CM 20
#define FREQUENCY_HZ 2000
#define BEEP_MS 200

NewPing sonar(TRIG_PIN, ECHO_PIN);
bool wasNear, sounds;

void setup() {
    Serial.begin(115200);
    pinMode(BUZZER_PIN, OUTPUT);
}

void loop() {
    unsigned long cm = sonar.ping_cm();
    bool isNear = cm != NO_ECHO && cm < LIMIT_CM;
    if (isNear && !wasNear) {
        Serial.printf("nearer than %d cm\n", LIMIT_CM);
    }
    wasNear = isNear;
    bool wasSounding = sounds;
    sounds = isNear && !wasSounding;
    if (sounds) {
        tone(BUZZER_PIN, FREQUENCY_HZ);
    } else if (wasSounding) {
        noTone(BUZZER_PIN);
    }
    delay(BEEP_MS);
}

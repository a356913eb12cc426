/* Melody: the buzzer plays five notes, each for NOTE_MS, once. */
#define PIN 6
#define NOTE_MS 400

const int NOTES_HZ[] = {262, 330, 392, 523, 392};

void setup() {
    for (int hz : NOTES_HZ) {
        tone(PIN, hz);
        delay(NOTE_MS);
    }
    noTone(PIN);
}

void loop() {
}

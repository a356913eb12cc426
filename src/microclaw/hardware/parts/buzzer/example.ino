// A passive buzzer on pin 5 plays three notes, and is quiet afterwards.
const int BUZZER = 5;
const int NOTES[] = {440, 523, 659};
const int LENGTHS[] = {400, 400, 800};

void setup() {
  Serial.begin(115200);
  for (int i = 0; i < 3; i++) {
    Serial.print("note ");
    Serial.println(NOTES[i]);
    tone(BUZZER, NOTES[i]);
    delay(LENGTHS[i]);
  }
  noTone(BUZZER);
}

void loop() {
}

#define NOTE_C4 262
#define NOTE_G3 196
#define NOTE_A3 220

int melody[] = { NOTE_C4, NOTE_G3, NOTE_G3, NOTE_A3, 0 };
int noteDurations[] = { 4, 8, 8, 4, 4 };

void setup() {
  for (int thisNote = 0; thisNote < 5; thisNote++) {
    int noteDuration = 1000 / noteDurations[thisNote];
    if (melody[thisNote] > 0) tone(18, melody[thisNote], noteDuration);
    int pauseBetweenNotes = noteDuration * 1.30;
    delay(pauseBetweenNotes);
    noTone(18);
  }
  printf("end of the melody\n");
}

void loop() {
}

// Three dimmed lamps and a beeper: the beeper needs a timer of its own.
const int LAMPS[] = {4, 5, 6};
const int BEEPER = 8;

void setup() {
  for (int i = 0; i < 3; i++) analogWrite(LAMPS[i], 40 + 60 * i);
}

void loop() {
  tone(BEEPER, 440);
  delay(500);
  noTone(BEEPER);
  delay(500);
}

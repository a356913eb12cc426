// Counts in binary on the eight outputs of a shift register.
const int dataPin = 4;
const int clockPin = 5;
const int latchPin = 6;

void setup() {
  pinMode(latchPin, OUTPUT);
  pinMode(clockPin, OUTPUT);
  pinMode(dataPin, OUTPUT);
}

void loop() {
  for (int number = 0; number < 256; number++) {
    digitalWrite(latchPin, LOW);
    shiftOut(dataPin, clockPin, MSBFIRST, number);
    digitalWrite(latchPin, HIGH);
    delay(100);
  }
}

// Blinks a lamp that is on while its pin is low, and dims another one.
const int LAMP = 5;
const int DIMMED = 6;

void setup() {
  pinMode(LAMP, OUTPUT);
  pinMode(DIMMED, OUTPUT);
  analogWrite(DIMMED, 51);
}

void loop() {
  digitalWrite(LAMP, LOW);
  delay(500);
  digitalWrite(LAMP, HIGH);
  delay(500);
}

const int SENSE = 4;

void setup() {
  pinMode(SENSE, INPUT);
  pinMode(2, OUTPUT);
}

void loop() {
  digitalWrite(SENSE, HIGH);
  digitalWrite(2, digitalRead(SENSE));
  delay(100);
}

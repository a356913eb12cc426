const int BUTTON = 4;
const int VALVE = 5;

void setup() {
  pinMode(BUTTON, INPUT_PULLDOWN);
  pinMode(VALVE, OUTPUT);
  digitalWrite(VALVE, LOW);
}

void loop() {
  digitalWrite(VALVE, digitalRead(BUTTON));
  delay(20);
}

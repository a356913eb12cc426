// A lamp on pin 2 that is on while the switch on pin 6 connects it with ground.
const int SWITCH = 6;
const int LAMP = 2;

void setup() {
  pinMode(SWITCH, INPUT_PULLUP);
  pinMode(LAMP, OUTPUT);
}

void loop() {
  digitalWrite(LAMP, !digitalRead(SWITCH));
  delay(10);
}

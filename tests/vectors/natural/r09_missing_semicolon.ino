int led = 2;

void setup() {
  pinMode(led, OUTPUT)
}

void loop() {
  toggle();
  delay(500);
}

void toggle() {
  digitalWrite(led, !digitalRead(led));
}

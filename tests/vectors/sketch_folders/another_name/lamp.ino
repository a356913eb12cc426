const int LED = 4;

void setup() {
  pinMode(LED, OUTPUT);
}

void loop() {
  toggle();
  delay(250);
}

const int LED = 4;
int step_count = 0;

void setup() {
  pinMode(LED, OUTPUT);
}

void loop() {
  toggle();
  delay(250);
}

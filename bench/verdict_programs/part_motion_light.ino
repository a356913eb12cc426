const int PIR = 4;
const int LAMP = 5;
const unsigned long ON_TIME = 10000;
unsigned long lastMotion = 0;
bool on = false;

void setup() {
  pinMode(PIR, INPUT);
  pinMode(LAMP, OUTPUT);
  digitalWrite(LAMP, HIGH);  // the relay is active low
}

void loop() {
  if (digitalRead(PIR) == HIGH) {
    lastMotion = millis();
    on = true;
  }
  if (on && millis() - lastMotion > ON_TIME) on = false;
  digitalWrite(LAMP, on ? LOW : HIGH);
  delay(20);
}

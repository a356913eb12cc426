const int buttonPin = 4;
int count = 0;
int lastReading = HIGH;
int state = HIGH;
unsigned long changed = 0;

void setup() {
  Serial.begin(115200);
  pinMode(buttonPin, INPUT_PULLUP);
}

void loop() {
  int reading = digitalRead(buttonPin);
  if (reading != lastReading) {
    changed = millis();
    lastReading = reading;
  }
  if (millis() - changed > 30 && reading != state) {
    state = reading;
    if (state == LOW) {
      count++;
      Serial.print("count ");
      Serial.println(count);
    }
  }
}

// A motion light: the LED on pin 5 is on while the sensor on pin 4 sees somebody.
const int PIR = 4;
const int LED = 5;
int before = LOW;

void setup() {
  Serial.begin(115200);
  pinMode(PIR, INPUT);
  pinMode(LED, OUTPUT);
}

void loop() {
  int seen = digitalRead(PIR);
  if (seen != before) {
    Serial.println(seen ? "motion" : "nobody");
    digitalWrite(LED, seen);
    before = seen;
  }
  delay(10);
}

// A slide switch on pin 4 chooses how fast the LED on pin 5 blinks.
const int SWITCH_PIN = 4;
const int LED_PIN = 5;
int wasFast = -1;

void setup() {
  Serial.begin(115200);
  pinMode(SWITCH_PIN, INPUT);
  pinMode(LED_PIN, OUTPUT);
}

void loop() {
  int fast = digitalRead(SWITCH_PIN);
  if (fast != wasFast) {
    Serial.println(fast ? "fast" : "slow");
    wasFast = fast;
  }
  digitalWrite(LED_PIN, HIGH);
  delay(fast ? 100 : 500);
  digitalWrite(LED_PIN, LOW);
  delay(fast ? 100 : 500);
}

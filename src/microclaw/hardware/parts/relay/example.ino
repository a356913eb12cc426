// A relay module that is on while its pin is low. The button on pin 4 lets the pump run for 3 seconds.
const int RELAY = 5;
const int BUTTON = 4;

void setup() {
  Serial.begin(115200);
  digitalWrite(RELAY, HIGH);
  pinMode(RELAY, OUTPUT);
  pinMode(BUTTON, INPUT_PULLUP);
}

void loop() {
  if (digitalRead(BUTTON) == LOW) {
    Serial.println("pump on");
    digitalWrite(RELAY, LOW);
    delay(3000);
    digitalWrite(RELAY, HIGH);
    Serial.println("pump off");
  }
  delay(20);
}

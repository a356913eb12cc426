#define BUTTON 4
#define LED 2

void setup() {
  pinMode(BUTTON, INPUT_PULLUP);
  pinMode(LED, OUTPUT);
  Serial.begin(9600);
}

void loop() {
  while (digitalRead(BUTTON) == HIGH) {
    // wait for a press
  }
  digitalWrite(LED, HIGH);
  Serial.println("on");
  while (digitalRead(BUTTON) == LOW);
  digitalWrite(LED, LOW);
  Serial.println("off");
}

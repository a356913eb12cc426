// A lamp on pin 2 that each press of the button on pin 6 switches on or off, and a line for each press.
const int BUTTON = 6;
const int LAMP = 2;
bool wasPressed = false;
int count = 0;

void setup() {
  Serial.begin(115200);
  pinMode(BUTTON, INPUT_PULLUP);
  pinMode(LAMP, OUTPUT);
}

void loop() {
  bool pressed = digitalRead(BUTTON) == LOW;
  if (pressed != wasPressed) {
    wasPressed = pressed;
    if (pressed) {
      count++;
      digitalWrite(LAMP, !digitalRead(LAMP));
      Serial.print("press ");
      Serial.println(count);
    }
    // The contacts bounce for some milliseconds.
    delay(20);
  }
  delay(5);
}

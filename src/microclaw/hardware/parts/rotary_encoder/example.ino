// Prints the place of a knob whenever it is turned.
#include <RotaryEncoder.h>

RotaryEncoder encoder(5, 4, RotaryEncoder::LatchMode::FOUR3);
const int BUTTON = 6;
long last = 0;
bool wasPressed = false;

void setup() {
  Serial.begin(115200);
  pinMode(BUTTON, INPUT_PULLUP);
}

void loop() {
  encoder.tick();
  long place = (encoder.getPosition() % 11 + 11) % 11;
  if (place != last) {
    last = place;
    Serial.print("place ");
    Serial.println(place);
  }
  bool isPressed = digitalRead(BUTTON) == LOW;
  if (isPressed && !wasPressed) {
    Serial.println("pressed");
    delay(10);
  }
  wasPressed = isPressed;
  delay(1);
}

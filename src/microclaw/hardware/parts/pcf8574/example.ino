// A button at P4 of the expander switches the lamp at the board's pin 5, and the LED at P0.
#include "PCF8574.h"

PCF8574 expander(0x20);

void setup() {
  Serial.begin(115200);
  pinMode(5, OUTPUT);
  if (!expander.begin()) {
    Serial.println("no expander");
    return;
  }
  Serial.println("expander ready");
}

void loop() {
  bool pressed = expander.read(4) == LOW;
  expander.write(0, pressed ? LOW : HIGH);
  digitalWrite(5, pressed ? HIGH : LOW);
  Serial.print("port ");
  Serial.println(expander.read8(), BIN);
  delay(200);
}

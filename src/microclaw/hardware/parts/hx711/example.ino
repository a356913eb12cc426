// Prints the weight on a load cell in grams.
#include "HX711.h"

const int LOADCELL_DOUT_PIN = 4;
const int LOADCELL_SCK_PIN = 5;

HX711 scale;

void setup() {
  Serial.begin(115200);
  scale.begin(LOADCELL_DOUT_PIN, LOADCELL_SCK_PIN);
  scale.set_scale(420.f);
  scale.tare();
}

void loop() {
  if (scale.wait_ready_timeout(1000)) {
    Serial.print("weight: ");
    Serial.print(scale.get_units(3), 1);
    Serial.println(" g");
  } else {
    Serial.println("HX711 not found.");
  }
  delay(2000);
}

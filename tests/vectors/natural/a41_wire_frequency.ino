// The bus with its pins and its speed in one call, as Arduino-ESP32 has it.
#include <Wire.h>
const int SENSOR = 0x76;

void setup() {
  Serial.begin(115200);
  Serial.println(Wire.begin(8, 9, 400000) ? "bus" : "no bus");
  Wire.setClock(400000);
  Wire.beginTransmission(SENSOR);
  Wire.write(0xD0);
  Wire.endTransmission(false);
  Wire.requestFrom(SENSOR, 1);
  Serial.print("id ");
  Serial.println(Wire.read(), HEX);
}

void loop() { delay(1000); }

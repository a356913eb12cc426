#include <Wire.h>

const int ADDR = 0x68;  // MPU6050

void setup() {
  Serial.begin(115200);
  Wire.begin();
  Wire.beginTransmission(ADDR);
  if (Wire.endTransmission() != 0) {
    Serial.println("MPU6050 not found, check wiring!");
    while (1) {}
  }
  Serial.println("never here");
}

void loop() {
}

#include "BluetoothSerial.h"

BluetoothSerial SerialBT;

void setup() {
  SerialBT.begin("ESP32");
}

void loop() {
  if (SerialBT.available()) {
    Serial.write(SerialBT.read());
  }
}

// Prints the voltage, the current and the power of a load each second.
#include <Wire.h>
#include <Adafruit_INA219.h>

Adafruit_INA219 ina219;

void setup() {
  Serial.begin(115200);
  if (!ina219.begin()) {
    Serial.println("Failed to find INA219 chip");
    while (1) delay(10);
  }
}

void loop() {
  float busvoltage = ina219.getBusVoltage_V();
  float loadvoltage = busvoltage + ina219.getShuntVoltage_mV() / 1000;
  Serial.print("Bus Voltage: ");
  Serial.print(busvoltage);
  Serial.println(" V");
  Serial.print("Load Voltage: ");
  Serial.print(loadvoltage);
  Serial.println(" V");
  Serial.print("Current: ");
  Serial.print(ina219.getCurrent_mA());
  Serial.println(" mA");
  Serial.print("Power: ");
  Serial.print(ina219.getPower_mW());
  Serial.println(" mW");
  delay(1000);
}

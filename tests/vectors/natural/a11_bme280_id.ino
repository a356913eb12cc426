#include <Wire.h>
#define BME_ADDR 0x76

uint8_t readRegister(uint8_t reg) {
  Wire.beginTransmission(BME_ADDR);
  Wire.write(reg);
  Wire.endTransmission(false);
  Wire.requestFrom(BME_ADDR, 1);
  return Wire.available() ? Wire.read() : 0xFF;
}

void setup() {
  Serial.begin(115200);
  Wire.begin();
  uint8_t id = readRegister(0xD0);
  if (id != 0x60) {
    Serial.println("BME280 not found");
    while (1);
  }
  Serial.print("chip id 0x");
  Serial.println(id, HEX);
}

void loop() {
  bme280_t values;
  if (bme280_read(i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL), BME_ADDR, &values) == 0) {
    Serial.print("temperature ");
    Serial.println(values.temperature_c, 1);
  }
  delay(2000);
}

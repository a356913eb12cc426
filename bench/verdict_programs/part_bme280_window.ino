#include <Wire.h>
#include <Adafruit_Sensor.h>
#include <Adafruit_BME280.h>

Adafruit_BME280 bme;
const int windowRelay = 5;

void setup() {
  Serial.begin(115200);
  pinMode(windowRelay, OUTPUT);
  digitalWrite(windowRelay, LOW);
  if (!bme.begin(0x76)) {
    Serial.println("Could not find a valid BME280 sensor, check wiring!");
    while (1) delay(10);
  }
}

void loop() {
  float t = bme.readTemperature();
  float p = bme.readPressure() / 100.0F;
  Serial.printf("%.1f C %.0f hPa\n", t, p);
  if (t > 28.0) digitalWrite(windowRelay, HIGH);
  if (t < 26.0) digitalWrite(windowRelay, LOW);
  delay(1000);
}

#include <Adafruit_MPU6050.h>
#include <Adafruit_Sensor.h>
#include <Wire.h>

Adafruit_MPU6050 mpu;
const int alarmPin = 5;

void setup() {
  Serial.begin(115200);
  pinMode(alarmPin, OUTPUT);
  if (!mpu.begin()) {
    Serial.println("Failed to find MPU6050 chip");
    while (1) delay(10);
  }
}

void loop() {
  sensors_event_t a, g, temp;
  mpu.getEvent(&a, &g, &temp);
  float angle = atan2(a.acceleration.x, a.acceleration.z) * 180 / PI;
  Serial.printf("angle %.0f\n", angle);
  digitalWrite(alarmPin, fabs(angle) > 30 ? HIGH : LOW);
  delay(200);
}

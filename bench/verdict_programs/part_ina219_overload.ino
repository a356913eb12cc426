#include <Wire.h>
#include <Adafruit_INA219.h>

Adafruit_INA219 ina219;
#define LOAD 5

void setup() {
  Serial.begin(115200);
  pinMode(LOAD, OUTPUT);
  digitalWrite(LOAD, HIGH);
  ina219.begin();
}

void loop() {
  float mA = ina219.getCurrent_mA();
  Serial.print("I = ");
  Serial.print(mA);
  Serial.println(" mA");
  if (mA > 800) {
    digitalWrite(LOAD, LOW);
    Serial.println("overload");
    while (true) delay(100);
  }
  delay(50);
}

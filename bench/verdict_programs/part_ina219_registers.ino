#include <Wire.h>
const byte ADDR = 0x40;
const int lowLed = 5;

int readReg(byte reg) {
  Wire.beginTransmission(ADDR);
  Wire.write(reg);
  Wire.endTransmission();
  Wire.requestFrom(ADDR, (byte)2);
  int hi = Wire.read();
  int lo = Wire.read();
  return (int16_t)(hi << 8 | lo);
}

void setup() {
  Serial.begin(9600);
  pinMode(lowLed, OUTPUT);
  Wire.begin();
}

void loop() {
  int mv = (readReg(0x02) >> 3) * 4;
  Serial.print("battery ");
  Serial.print(mv);
  Serial.println(" mV");
  digitalWrite(lowLed, mv < 3500 ? HIGH : LOW);
  delay(500);
}

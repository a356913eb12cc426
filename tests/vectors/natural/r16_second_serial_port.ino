HardwareSerial gps(2);

void setup() {
  Serial.begin(115200);
  gps.begin(9600, SERIAL_8N1, 16, 17);
}

void loop() {
  while (gps.available()) Serial.write(gps.read());
  delay(10);
}

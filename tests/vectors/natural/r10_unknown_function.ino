void setup() {
  Serial.begin(9600);
}

void loop() {
  float t = readTemperatur();
  Serial.println(t);
  delay(1000);
}

float readTemperature() {
  return 20.0;
}

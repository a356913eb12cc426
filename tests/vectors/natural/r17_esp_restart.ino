void setup() {
  Serial.begin(115200);
}

void loop() {
  delay(60000);
  ESP.restart();
}

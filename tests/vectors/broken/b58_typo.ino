void setup() {
  pinMode(2, OUTPUT);
}
void loop() {
  digitalwrite(2, HIGH);
  delay(500);
}

void setup() {
  pinmode(2, OUTPUT);
  Serial.begn(9600);
}
void loop() {
  digitalWrite(2, HIHG);
  delya(500);
}

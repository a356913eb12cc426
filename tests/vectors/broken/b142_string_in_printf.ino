void setup() {
  Serial.begin(115200);
  String text = "warm";
  Serial.printf("it is %s\n", text);
}
void loop() {}

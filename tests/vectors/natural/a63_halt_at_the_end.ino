void setup() {
  Serial.begin(9600);
  Serial.println("done");
  while (1);
}

void loop() {}

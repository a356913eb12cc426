int number = 7;

void setup() {
  Serial.begin(115200);
}

void loop() {
  char line[12] = "at ";
  strcat(line, String(number).c_str());
  strcat(line, " degrees");
  Serial.println(line);
  number *= 10;
  delay(500);
}

int number = 3;

void setup() {
  Serial.begin(9600);
}

void loop() {
  Serial.println(number);
  if (number == 1) {
    while (true) {
      continue;
    }
  }
  if (number < 0) {
    for (;;) continue;
  }
  number--;
}

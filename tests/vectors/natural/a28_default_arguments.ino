void setup() {
  Serial.begin(115200);
  blinkTimes(2);
  blinkTimes(1, 50);
  Serial.println(sum(1, 2));
  show(2.5);
}

void loop() { delay(1000); }

void show(int x) { Serial.print("int "); Serial.println(x); }

void blinkTimes(int n, int ms = 100) {
  pinMode(2, OUTPUT);
  for (int i = 0; i < n; i++) {
    digitalWrite(2, HIGH);
    delay(ms);
    digitalWrite(2, LOW);
    delay(ms);
  }
}

int sum(int a, int b, int c = 10) { return a + b + c; }

void show(double x) { Serial.print("double "); Serial.println(x); }

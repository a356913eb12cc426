unsigned long t1 = 0, t2 = 0;
bool a = false, b = false;

void setup() {
  pinMode(18, OUTPUT);
  pinMode(17, OUTPUT);
}

void loop() {
  task1();
  task2();
  yield();
}

void task1() {
  if (millis() - t1 < 300) return;
  t1 += 300;
  a = !a;
  digitalWrite(18, a);
}

void task2() {
  if (millis() - t2 < 700) return;
  t2 += 700;
  b = !b;
  digitalWrite(17, b);
}

#define RELAY 5

void setup() {
  Serial.begin(115200);
  pinMode(RELAY, OUTPUT);
  report("start");
}

void loop() {
  switchRelay(true);
  delay(200);
  switchRelay(false);
  delay(300);
  report("cycle", cycles());
}

void switchRelay(bool on) {
  digitalWrite(RELAY, on ? HIGH : LOW);
}

int cycles() {
  static int n = 0;
  return ++n;
}

void report(const char *what) {
  Serial.println(what);
}

void report(const char *what, int n) {
  Serial.print(what);
  Serial.print(' ');
  Serial.println(n);
}

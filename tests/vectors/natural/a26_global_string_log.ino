String history;
int count = 0;
bool started = false;

struct Setup {
  Setup() { started = true; history.reserve(64); }
} setupObject;

void setup() {
  Serial.begin(115200);
  Serial.println(started ? "constructed" : "not constructed");
}

void loop() {
  count++;
  history += count;
  history += ',';
  if (history.length() > 20) {
    history = history.substring(history.indexOf(',') + 1);
  }
  Serial.println(history);
  delay(250);
}

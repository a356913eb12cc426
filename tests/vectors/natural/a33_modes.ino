#include <Arduino.h>
#define LED_PIN 2
#define BUTTON_PIN 4

enum class Mode : uint8_t { Off, Slow, Fast };
struct Settings { uint16_t period; Mode mode; };
static Settings settings = { .period = 500, .mode = Mode::Slow };
unsigned long lastToggle = 0;
bool ledOn = false;
const char* modeNames[] = {"off", "slow", "fast"};

void nextMode(Settings &s);
static uint16_t periodOf(Mode m);

void setup() {
  Serial.begin(115200);
  delay(10);
  pinMode(LED_PIN, OUTPUT);
  pinMode(BUTTON_PIN, INPUT_PULLUP);
  Serial.println(F("ready"));
  Serial.print("Uptime: "); Serial.print(millis() / 1000.0, 2); Serial.println(" s");
  char buf[32];
  sprintf(buf, "%02d:%02d:%02d", 1, 2, 3);
  Serial.println(buf);
  Serial.printf("heap %u, %s, %.2f %c %5.1f%%\n", 10u, "x", 3.5, 'c', 99.5);
  uint32_t u = 7; Serial.printf("u %u %d\n", u, (int)u);
  String json = "{\"t\":" + String(21.456, 1) + ",\"on\":" + (ledOn ? "true" : "false") + "}";
  Serial.println(json);
  String s = String("a") + 1 + 'b' + 2.5 + true;
  Serial.println(s);
  if (json.indexOf("\"on\":false") > 0) Serial.println("found");
  for (size_t i = 0; i < json.length(); i++) { if (json[i] == ':') json[i] = '='; }
  Serial.println(json);
}

void loop() {
  unsigned long now = millis();
  if (settings.mode != Mode::Off && now - lastToggle >= settings.period) {
    lastToggle = now;
    ledOn = !ledOn;
    digitalWrite(LED_PIN, ledOn ? HIGH : LOW);
    nextMode(settings);
  }
}

void nextMode(Settings &s) {
  s.mode = s.mode == Mode::Slow ? Mode::Fast : Mode::Slow;
  s.period = periodOf(s.mode);
  Serial.println(modeNames[(int)s.mode]);
}

static uint16_t periodOf(Mode m) {
  switch (m) { case Mode::Slow: return 500; case Mode::Fast: return 100; default: return 1000; }
}

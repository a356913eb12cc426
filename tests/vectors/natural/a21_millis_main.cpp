#include <Arduino.h>

class Ticker {
 public:
  explicit Ticker(unsigned long every_ms) : every_ms_(every_ms) {}
  bool due() {
    const unsigned long now = millis();
    if (now - last_ < every_ms_) return false;
    last_ = now;
    return true;
  }

 private:
  unsigned long every_ms_;
  unsigned long last_ = 0;
};

namespace {
Ticker fast(250);
Ticker slow(1000);
bool level = false;
}  // namespace

int main() {
  pinMode(2, OUTPUT);
  for (;;) {
    if (fast.due()) {
      level = !level;
      digitalWrite(2, level);
    }
    if (slow.due()) {
      Serial.println("tick");
    }
  }
}

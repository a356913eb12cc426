#pragma once

class Lamp {
 public:
  explicit Lamp(int pin) : pin(pin) {}
  void begin();
  void toggle();

 private:
  int pin;
};

#include "toggle.h"

#include <Arduino.h>

struct lamp {
  int new;
};

static struct lamp lamp = {.new = 0};

void toggle(void) {
  lamp.new = !lamp.new;
  digitalWrite(LED, lamp.new);
}

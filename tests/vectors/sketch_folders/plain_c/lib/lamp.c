#include "lamp.h"

#include <microclaw.h>

static int lamp;

void lamp_begin(int pin) {
  lamp = gpio_open(pin, GPIO_OUT);
}

void lamp_toggle(void) {
  gpio_toggle(lamp);
}

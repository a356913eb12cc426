#include <microclaw.h>

#include "lib/lamp.h"

void on_init(void) {
  lamp_begin(4);
  every(250, lamp_toggle);
}

#include <microclaw.h>

extern "C" {
#include "lamp.h"
}

int main() {
  lamp_begin(4);
  for (;;) {
    lamp_toggle();
    delay(250);
  }
}

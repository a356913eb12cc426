#include "microclaw.h"
#define PIN 2
int main(void) {
 return gpio_get(1 + 1);
}

#include "microclaw.h"
enum { LED = 43 };
static const int BUTTON = 20;
#define NEXT(n) (n + 1)
void on_init(void) {
    int x = i2c_open(8, 35);
    gpio_set(x, BUTTON + LED + NEXT(1));
}

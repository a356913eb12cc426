#include "microclaw.h"
enum { LED = 43 };
static const int BUTTON = 20;
#define NEXT(n) (n + 1)
void on_init(void) {
    int x = pwm_open(NEXT(26), 1000);
    gpio_set(x, BUTTON + LED + NEXT(1));
}

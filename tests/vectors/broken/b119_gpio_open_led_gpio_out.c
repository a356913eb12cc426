#include "microclaw.h"
enum { LED = 43 };
static const int BUTTON = 20;
#define NEXT(n) (n + 1)
void on_init(void) {
    int x = gpio_open(LED, GPIO_OUT);
    gpio_set(x, BUTTON + LED + NEXT(1));
}

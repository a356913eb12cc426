#include "microclaw.h"
int main(void) {
    int b = gpio_open(4, GPIO_IN_PULLUP);
    for (;;) {
        log("%d\n", gpio_get(b));
        delay(100);
    }
}

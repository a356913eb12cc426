#include "microclaw.h"
int main(void) {
    int led = gpio_open(2, 1)
    return led;
}

#include "microclaw.h"
#define PIN = 2;
int main(void) {
    int led = gpio_open(PIN, GPIO_OUT);
    gpio_set(led, 1);
}

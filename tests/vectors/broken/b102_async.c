#include "microclaw.h"
void on_init(void) {
    int led = gpio_open(LED_PIN, GPIO_OUT);
    set_interval(500, toggle);
}

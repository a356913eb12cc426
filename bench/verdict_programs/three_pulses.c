#include "microclaw.h"
int main(void) {
    int buzzer = gpio_open(5, GPIO_OUT);
    for (int i = 0; i < 3; i++) {
        gpio_set(buzzer, 1);
        delay(200);
        gpio_set(buzzer, 0);
        delay(300);
    }
}

#include <microclaw.h>

int main(void)
{
    int led = gpio_open(2, GPIO_OUT);
    while (1) {
        gpio_set(led, 1);
        for (volatile int i = 0; i < 1000000; i++) {
        }
        gpio_set(led, 0);
        for (volatile int i = 0; i < 1000000; i++) {
        }
    }
}

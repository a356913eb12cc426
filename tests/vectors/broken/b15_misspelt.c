#include <microclaw.h>

int main(void)
{
    int led = gpio_open(2, GPIO_OUT);
    while (1) {
        gpio_togle(led);
        delay(500);
    }
}

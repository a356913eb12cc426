#include "microclaw.h"

struct Pin {
    int gpio;
    Pin(int number) : gpio(gpio_open(number, GPIO_OUT)) { printf("pin %d open\n", number); }
};

static Pin led(18);

int main()
{
    for (int i = 0; i < 3; i++) {
        gpio_toggle(led.gpio);
        delay(400);
    }
}

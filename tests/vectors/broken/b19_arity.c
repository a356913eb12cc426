#include <microclaw.h>

int main(void)
{
    int led = gpio_open(2);
    gpio_set(led, 1);
    return 0;
}

#include "microclaw.h"

static int led, count;

int main()
{
    led = gpio_open(2, GPIO_OUT);
    every(250, [] { gpio_toggle(led); });
    after(1100, [] { log("count %d\n", ++count); });
}

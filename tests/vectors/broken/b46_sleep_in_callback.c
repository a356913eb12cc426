#include <microclaw.h>
#include <unistd.h>

static int led;

static void blink(void)
{
    gpio_set(led, 1);
    sleep(1);
    gpio_set(led, 0);
}

int main(void)
{
    led = gpio_open(2, GPIO_OUT);
    every(5000, blink);
    while (1) {
        printf("alive\n");
        sleep(10);
    }
}

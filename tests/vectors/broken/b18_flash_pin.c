#include <microclaw.h>

#define LED_PIN 30

int main(void)
{
    int led = gpio_open(LED_PIN, GPIO_OUT);
    while (1) {
        gpio_set(led, 1);
        delay(500);
        gpio_set(led, 0);
        delay(500);
    }
}

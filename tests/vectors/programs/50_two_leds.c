#include <microclaw.h>

#define RED 4
#define GREEN 5

int main(void)
{
    int red = gpio_open(RED, GPIO_OUT);
    int green = gpio_open(GREEN, GPIO_OUT);
    for (int i = 0; i < 4; i++) {
        gpio_set(red, i % 2);
        gpio_set(green, !(i % 2));
        printf("red %d green %d\n", gpio_get(red), gpio_get(green));
        delay(250);
    }
    gpio_set(red, 0);
    gpio_set(green, 0);
    printf("both off: %d %d\n", gpio_get(red), gpio_get(green));
    return 0;
}

/* Traffic light: red, red and yellow, green, yellow, forever;
 * red and green last LONG_MS, the others SHORT_MS. */
#include "microclaw.h"

#define RED_PIN 4
#define YELLOW_PIN 5
#define GREEN_PIN 6
#define LONG_MS 5000
#define SHORT_MS 1000

static int red, yellow, green;

static void show(int r, int y, int g, unsigned ms) {
    if (!g) gpio_set(green, 0); /* before another one goes on */
    gpio_set(red, r);
    gpio_set(yellow, y);
    gpio_set(green, g);
    delay(ms);
}

int main(void) {
    red = gpio_open(RED_PIN, GPIO_OUT);
    yellow = gpio_open(YELLOW_PIN, GPIO_OUT);
    green = gpio_open(GREEN_PIN, GPIO_OUT);
    for (;;) {
        show(1, 0, 0, LONG_MS);
        show(1, 1, 0, SHORT_MS);
        show(0, 0, 1, LONG_MS);
        show(0, 1, 0, SHORT_MS);
    }
}

/* Traffic light: red, red and yellow, green, yellow, forever;
 * red and green last LONG_MS, the others SHORT_MS. */
#include "microclaw.h"

#define RED_PIN 4
#define YELLOW_PIN 5
#define GREEN_PIN 6
#define LONG_MS 5000
#define SHORT_MS 1000

static const struct {
    unsigned char red, yellow, green;
    unsigned ms;
} phases[] = {{1, 0, 0, LONG_MS}, {1, 1, 0, SHORT_MS}, {0, 0, 1, LONG_MS}, {0, 1, 0, SHORT_MS}};

static int red, yellow, green, phase;

static void show(void) {
    if (!phases[phase].green) gpio_set(green, 0); /* before another one goes on */
    gpio_set(red, phases[phase].red);
    gpio_set(yellow, phases[phase].yellow);
    gpio_set(green, phases[phase].green);
    after(phases[phase].ms, show);
    phase = (phase + 1) % 4;
}

void on_init(void) {
    red = gpio_open(RED_PIN, GPIO_OUT);
    yellow = gpio_open(YELLOW_PIN, GPIO_OUT);
    green = gpio_open(GREEN_PIN, GPIO_OUT);
    show();
}

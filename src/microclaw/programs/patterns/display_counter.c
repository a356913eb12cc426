/* Counter on a display: each press of a button, which connects
 * its pin to ground, counts once. A level counts when it held for
 * DEBOUNCE_MS. */
#include "microclaw.h"

#define DISPLAY screen_ssd1306(8, 9, 128, 64, 0x3c)
#define BUTTON_PIN 4
#define DEBOUNCE_MS 25
#define LOOK_MS 5

static int display, button, state = 1, last = 1, same_ms, count;

static void look(void) {
    int level = gpio_get(button);
    same_ms = level == last ? same_ms + LOOK_MS : 0;
    last = level;
    if (level != state && same_ms >= DEBOUNCE_MS) {
        state = level;
        if (!level) {
            count++;
            screen_number(display, count, "", "presses");
            printf("count %d\n", count);
        }
    }
}

void on_init(void) {
    display = DISPLAY;
    if (display < 0) {
        printf("the display does not answer\n");
        return;
    }
    button = gpio_open(BUTTON_PIN, GPIO_IN | GPIO_PULLUP);
    screen_number(display, count, "", "presses");
    every(LOOK_MS, look);
}

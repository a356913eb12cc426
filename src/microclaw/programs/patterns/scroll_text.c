/* Scroll a text: TEXT moves across the display, a step each
 * EVERY_MS, and begins again. */
#include "microclaw.h"

#define DISPLAY screen_ssd1306(8, 9, 128, 64, 0x3c)
#define TEXT "All good things come to those who wait"
#define EVERY_MS 250

static int display;

static void step(void) {
    screen_scroll(display, TEXT);
}

void on_init(void) {
    display = DISPLAY;
    if (display < 0) {
        printf("the display does not answer\n");
        return;
    }
    printf("scrolls: %s\n", TEXT);
    step();
    every(EVERY_MS, step);
}

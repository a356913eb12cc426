/* Time since the start on a display: minutes and seconds, from an
 * hour on hours and minutes. */
#include "microclaw.h"

#define DISPLAY screen_ssd1306(8, 9, 128, 64, 0x3c)

static int display, seconds;

static void look(void) {
    char text[16];
    int minutes = seconds / 60;
    if (minutes < 60) {
        snprintf(text, sizeof text, "%02d:%02d", minutes, seconds % 60);
    } else {
        snprintf(text, sizeof text, "%02d:%02d", minutes / 60 % 100, minutes % 60);
    }
    screen_text(display, text);
    if (seconds % 60 == 0) {
        printf("time %s\n", text);
    }
    seconds++;
}

void on_init(void) {
    display = DISPLAY;
    if (display < 0) {
        printf("the display does not answer\n");
        return;
    }
    look();
    every(1000, look);
}

/* Show a text: the display shows TEXT, as large as it fits. */
#include "microclaw.h"

#define DISPLAY screen_ssd1306(8, 9, 128, 64, 0x3c)
#define TEXT "Hello"

static int display;

void on_init(void) {
    display = DISPLAY;
    if (display < 0) {
        printf("the display does not answer\n");
        return;
    }
    screen_text(display, TEXT);
    printf("shown: %s\n", TEXT);
}

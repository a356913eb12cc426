/* Clock: the time of a DS3231 or DS1307 on a display. */
#include "microclaw.h"

#define DISPLAY screen_ssd1306(8, 9, 128, 64, 0x3c)
#define CLOCK "ds3231"
#define CLOCK_SDA 8
#define CLOCK_SCL 9
#define ADDRESS 0x68

static int display, i2c, shown = -1;

static int number(unsigned char bcd) {
    return (bcd >> 4) * 10 + (bcd & 15);
}

static void look(void) {
    unsigned char time[3];
    char text[16];
    if (i2c_read_reg(i2c, ADDRESS, 0, time, sizeof time) < 0) {
        screen_text(display, "no clock");
        printf("the %s does not answer\n", CLOCK);
        return;
    }
    if (time[1] == shown) {
        return;
    }
    shown = time[1];
    snprintf(text, sizeof text, "%02d:%02d", number(time[2] & 0x3f), number(time[1]));
    screen_text(display, text);
    printf("time %s\n", text);
}

void on_init(void) {
    display = DISPLAY;
    if (display < 0) {
        printf("the display does not answer\n");
        return;
    }
    i2c = i2c_open(CLOCK_SDA, CLOCK_SCL);
    look();
    every(500, look);
}

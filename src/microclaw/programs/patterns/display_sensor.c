/* Sensor on a display: what it measures, each EVERY_MS. */
#include "microclaw.h"

#define DISPLAY screen_ssd1306(8, 9, 128, 64, 0x3c)
#define ADDRESS 0x76
#define QUANTITY "temperature"
#define UNIT "C"
#define TWO 0
#define SECOND "humidity"
#define SECOND_UNIT "%"
#define EVERY_MS 2000

static int display, i2c;

static void look(void) {
    float value, second = 0;
    char text[80];
    if (sensor_read(i2c, ADDRESS, QUANTITY, &value) < 0 || (TWO && sensor_read(i2c, ADDRESS, SECOND, &second) < 0)) {
        screen_text(display, "no sensor");
        printf("the sensor for %s does not answer\n", QUANTITY);
        return;
    }
    if (TWO) {
        snprintf(text, sizeof text, "%.1f %s\n%.1f %s", value, UNIT, second, SECOND_UNIT);
        screen_text(display, text);
    } else {
        screen_number(display, value, UNIT, QUANTITY);
    }
    printf("%s %.1f\n", QUANTITY, value);
}

void on_init(void) {
    display = DISPLAY;
    if (display < 0) {
        printf("the display does not answer\n");
        return;
    }
    i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    look();
    every(EVERY_MS, look);
}

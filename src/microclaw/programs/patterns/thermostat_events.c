/* Thermostat: the pin is on from HYSTERESIS_MILLI below the
 * setpoint until as much above it (HEATS 1; the other way round
 * for a cooler), in thousandths. A sensor that does not answer
 * switches it off. */
#include "microclaw.h"

#define PIN 4
#define QUANTITY "temperature"
#define ADDRESS 0x76
#define SETPOINT_MILLI 21000
#define HYSTERESIS_MILLI 500
#define HEATS 1
#define EVERY_MS 1000

static int i2c, output, is_on = -1;

static void turn(int on, float value) {
    if (on != is_on) {
        gpio_set(output, on);
        printf("%s %.2f, pin %d %s\n", QUANTITY, value, PIN, on ? "on" : "off");
    }
    is_on = on;
}

static void look(void) {
    float value;
    if (sensor_read(i2c, ADDRESS, QUANTITY, &value) < 0) {
        printf("the sensor for %s does not answer\n", QUANTITY);
        gpio_set(output, 0);
        is_on = 0;
        return;
    }
    float missing = (SETPOINT_MILLI - value * 1000) * (HEATS ? 1 : -1);
    if (missing >= HYSTERESIS_MILLI) {
        turn(1, value);
    } else if (missing <= -HYSTERESIS_MILLI || is_on < 0) {
        turn(0, value);
    }
}

void on_init(void) {
    i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    output = gpio_open(PIN, GPIO_OUT);
    look();
    every(EVERY_MS, look);
}

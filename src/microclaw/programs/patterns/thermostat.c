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

int main(void) {
    int i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    int output = gpio_open(PIN, GPIO_OUT);
    int is_on = -1;
    for (;; delay(EVERY_MS)) {
        float value;
        if (sensor_read(i2c, ADDRESS, QUANTITY, &value) < 0) {
            printf("the sensor for %s does not answer\n", QUANTITY);
            gpio_set(output, 0);
            is_on = 0;
            continue;
        }
        float missing = (SETPOINT_MILLI - value * 1000) * (HEATS ? 1 : -1);
        int turn_on = missing >= HYSTERESIS_MILLI || (missing > -HYSTERESIS_MILLI && is_on == 1);
        if (turn_on != is_on) {
            gpio_set(output, turn_on);
            printf("%s %.2f, pin %d %s\n", QUANTITY, value, PIN, turn_on ? "on" : "off");
        }
        is_on = turn_on;
    }
}

/* Threshold: the pin is on while a sensor's value is above
 * (ABOVE 1) or below (ABOVE 0) a limit, in thousandths. ON is
 * the level that switches it on: 0 where it is lit by low. */
#include "microclaw.h"

#define PIN 4
#define QUANTITY "temperature"
#define ADDRESS 0x76
#define LIMIT_MILLI 28000
#define ABOVE 1
#define HYSTERESIS_MILLI 500
#define EVERY_MS 1000
#define ON 1

int main(void) {
    int i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    int output = gpio_open(PIN, GPIO_OUT);
    int is_on = -1;
    for (;; delay(EVERY_MS)) {
        float value;
        if (sensor_read(i2c, ADDRESS, QUANTITY, &value) < 0) {
            printf("the sensor for %s does not answer\n", QUANTITY);
            continue;
        }
        float excess = (value * 1000 - LIMIT_MILLI) * (ABOVE ? 1 : -1);
        int turn_on = excess > (is_on == 1 ? -HYSTERESIS_MILLI : 0);
        if (turn_on != is_on) {
            gpio_set(output, turn_on ? ON : !ON);
            printf("%s %.2f, pin %d %s\n", QUANTITY, value, PIN, turn_on ? "on" : "off");
        }
        is_on = turn_on;
    }
}

/* Threshold pulse: the pin is on for FOR_MS each time a
 * sensor's value comes to be above (ABOVE 1) or below (ABOVE 0)
 * a limit, in thousandths; the next time counts when the value
 * was back by HYSTERESIS_MILLI in between. ON is the level that
 * lights: 0 where the LED is lit by low. */
#include "microclaw.h"

#define PIN 4
#define QUANTITY "temperature"
#define ADDRESS 0x76
#define LIMIT_MILLI 28000
#define ABOVE 1
#define HYSTERESIS_MILLI 500
#define FOR_MS 5000
#define EVERY_MS 1000
#define ON 1

int main(void) {
    int i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    int output = gpio_open(PIN, GPIO_OUT);
    gpio_set(output, !ON);
    printf("watching %s for pin %d\n", QUANTITY, PIN);
    int was_beyond = 0;
    for (;; delay(EVERY_MS)) {
        float value;
        if (sensor_read(i2c, ADDRESS, QUANTITY, &value) < 0) {
            printf("the sensor for %s does not answer\n", QUANTITY);
            continue;
        }
        float excess = (value * 1000 - LIMIT_MILLI) * (ABOVE ? 1 : -1);
        int is_beyond = excess > (was_beyond ? -HYSTERESIS_MILLI : 0);
        if (is_beyond && !was_beyond) {
            printf("%s %.2f, pin %d on for %d ms\n", QUANTITY, value, PIN, FOR_MS);
            gpio_set(output, ON);
            delay(FOR_MS);
            gpio_set(output, !ON);
        }
        was_beyond = is_beyond;
    }
}

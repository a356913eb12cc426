/* Read: print a sensor's value every EVERY_MS, forever. */
#include "microclaw.h"

#define QUANTITY "temperature"
#define ADDRESS 0x76
#define EVERY_MS 10000

int main(void) {
    int i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    for (;; delay(EVERY_MS)) {
        float value;
        if (sensor_read(i2c, ADDRESS, QUANTITY, &value) < 0) {
            printf("the sensor for %s does not answer\n", QUANTITY);
        } else {
            printf("%s %.2f\n", QUANTITY, value);
        }
    }
}

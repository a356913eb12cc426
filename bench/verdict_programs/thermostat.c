#include "microclaw.h"
int main(void) {
    int i2c = i2c_open(8, 9), heater = gpio_open(4, GPIO_OUT), on = 0;
    for (;; delay(1000)) {
        bme280_t air;
        if (bme280_read(i2c, 0x76, &air) != 0) {
            gpio_set(heater, 0);
            continue;
        }
        if (air.temperature_c < 20.5f) {
            on = 1;
        } else if (air.temperature_c > 21.5f) {
            on = 0;
        }
        gpio_set(heater, on);
    }
}

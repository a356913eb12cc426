#include "microclaw.h"
int main(void) {
    int i2c = i2c_open(8, 9);
    for (;; delay(5000)) {
        bme280_t air;
        if (bme280_read(i2c, 0x76, &air) == 0) {
            printf("temp %.1f\n", air.temperature_c);
        } else {
            printf("no sensor\n");
        }
    }
}

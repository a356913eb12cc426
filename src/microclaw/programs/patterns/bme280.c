/* BME280: temperature, humidity and air pressure each EVERY_MS. */
#include "microclaw.h"

#define ADDRESS 0x76
#define EVERY_MS 10000

static int i2c;

static void look(void) {
    bme280_t air;
    if (bme280_read(i2c, ADDRESS, &air) < 0) {
        printf("no BME280 answers at address %d\n", ADDRESS);
        return;
    }
    printf("temperature %.2f C, humidity %.1f %%, pressure %.1f hPa\n", air.temperature_c, air.humidity_pct, air.pressure_hpa);
}

void on_init(void) {
    i2c = i2c_open(BOARD_I2C_SDA, BOARD_I2C_SCL);
    look();
    every(EVERY_MS, look);
}

/* sensor_read of microclaw.h: a quantity by its name, from the sensor that measures it. */
#include "sensors.h"
#include <string.h>

int sensor_read(int i2c, int address, const char *quantity, float *out) {
    bme280_t air;
    ina219_t power;
    if (!strcmp(quantity, "temperature") || !strcmp(quantity, "humidity") || !strcmp(quantity, "pressure")) {
        if (bme280_read(i2c, address, &air) < 0) {
            return -1;
        }
        *out = *quantity == 't' ? air.temperature_c : *quantity == 'h' ? air.humidity_pct : air.pressure_hpa;
        return 0;
    }
    if (!strcmp(quantity, "voltage") || !strcmp(quantity, "current") || !strcmp(quantity, "power")) {
        if (ina219_read(i2c, address, &power) < 0) {
            return -1;
        }
        *out = *quantity == 'v' ? power.voltage_v : *quantity == 'c' ? power.current_ma : power.power_mw;
        return 0;
    }
    return -1;
}

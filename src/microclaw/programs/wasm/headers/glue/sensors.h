/* sensors.h: what the sensors' files share with microclaw.h. */
#pragma once
#include <stdint.h>

typedef struct {
    float temperature_c, humidity_pct, pressure_hpa;
} bme280_t;
typedef struct {
    float voltage_v, current_ma, power_mw;
} ina219_t;

int bme280_read(int i2c, int address, bme280_t *out);
int ina219_read(int i2c, int address, ina219_t *out);
int i2c_read_reg(int i2c, int address, int reg, void *data, int size);
int i2c_write_reg(int i2c, int address, int reg, const void *data, int size);

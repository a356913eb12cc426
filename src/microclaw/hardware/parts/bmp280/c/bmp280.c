/* BMP280: a forced measurement. */
#include <pressure_compensation.h>

enum { ID_BMP280 = 0x58, MEASURE_US = 7000 };

int bmp280_read(int i2c, int address, bmp280_t *out) {
    uint8_t id, measure = FORCED_1X, c[24], raw[6];
    if (i2c_read_reg(i2c, address, CHIP_ID, &id, 1) < 0 || id != ID_BMP280) {
        return -1;
    }
    if (i2c_write_reg(i2c, address, CTRL_MEAS, &measure, 1) < 0) {
        return -1;
    }
    microclaw_native_usleep(MEASURE_US);
    if (i2c_read_reg(i2c, address, CALIBRATION, c, 24) < 0 || i2c_read_reg(i2c, address, DATA, raw, 6) < 0) {
        return -1;
    }
    float t_fine = fine_temperature(c, raw);
    out->temperature_c = t_fine / 5120;
    out->pressure_hpa = pressure_pa(c, raw, t_fine) / 100;
    return 0;
}

/* BME280: a forced measurement, and the compensation of humidity of its datasheet (BST-BME280-DS002, 4.2.3, in float). */
#include <pressure_compensation.h>

enum { CALIBRATION_2 = 0xe1, CTRL_HUM = 0xf2 };
enum { ID_BME280 = 0x60, OVERSAMPLING_1 = 1, MEASURE_US = 10000 };

static float humidity_pct(float h1, const uint8_t *c, float raw, float t_fine) {
    float h4 = (float)((int8_t)c[3] * 16 + (c[4] & 15)), h5 = (float)((int8_t)c[5] * 16 + (c[4] >> 4));
    float t = t_fine - 76800;
    float h = (raw - (h4 * 64 + h5 / 16384 * t)) * (signed16(c) / 65536) *
              (1 + (float)(int8_t)c[6] / 67108864 * t * (1 + (float)c[2] / 67108864 * t));
    h = h * (1 - h1 * h / 524288);
    return h < 0 ? 0 : h > 100 ? 100 : h;
}

int bme280_read(int i2c, int address, bme280_t *out) {
    uint8_t id = 0, humidity = OVERSAMPLING_1, measure = FORCED_1X, c1[26], c2[7], raw[8];
    if (i2c_read_reg(i2c, address, CHIP_ID, &id, 1) < 0 || id != ID_BME280) {
        return -1;
    }
    if (i2c_write_reg(i2c, address, CTRL_HUM, &humidity, 1) < 0 || i2c_write_reg(i2c, address, CTRL_MEAS, &measure, 1) < 0) {
        return -1;
    }
    microclaw_native_usleep(MEASURE_US);
    if (i2c_read_reg(i2c, address, CALIBRATION, c1, 26) < 0 || i2c_read_reg(i2c, address, CALIBRATION_2, c2, 7) < 0 ||
        i2c_read_reg(i2c, address, DATA, raw, 8) < 0) {
        return -1;
    }
    float t_fine = fine_temperature(c1, raw);
    out->temperature_c = t_fine / 5120;
    out->pressure_hpa = pressure_pa(c1, raw, t_fine) / 100;
    out->humidity_pct = humidity_pct((float)c1[25], c2, (float)(raw[6] << 8 | raw[7]), t_fine);
    return 0;
}

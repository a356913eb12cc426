/* BMP280: forced measurement and the compensation of its datasheet (BST-BMP280-DS001, 3.11.3 and 8.1, in float). */
#include <microclaw.h>

/* The firmware's own: a sensor is read in callbacks too, and a sleeping main is not left for it. */
__attribute__((import_module("env"), import_name("usleep"))) int microclaw_native_usleep(unsigned microseconds);

enum { CHIP_ID = 0xd0, CALIBRATION = 0x88, CTRL_MEAS = 0xf4, DATA = 0xf7 };
enum { ID_BMP280 = 0x58, FORCED_1X = 0x25, MEASURE_US = 7000 };

static float unsigned16(const uint8_t *p) { return (float)(p[0] | p[1] << 8); }
static float signed16(const uint8_t *p) { return (float)(int16_t)(p[0] | p[1] << 8); }

static float pressure_pa(const uint8_t *c, float raw, float t_fine) {
    float a = t_fine / 2 - 64000;
    float b = a * a * signed16(c + 16) / 32768 + a * signed16(c + 14) * 2;
    b = b / 4 + signed16(c + 12) * 65536;
    a = (signed16(c + 10) * a * a / 524288 + signed16(c + 8) * a) / 524288;
    a = (1 + a / 32768) * unsigned16(c + 6);
    if (a == 0) {
        return 0;
    }
    float p = (1048576 - raw - b / 4096) * 6250 / a;
    return p + (signed16(c + 22) * p * p / 2147483648.0f + p * signed16(c + 20) / 32768 + signed16(c + 18)) / 16;
}

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
    float adc_t = (float)(raw[3] << 12 | raw[4] << 4 | raw[5] >> 4);
    float a = (adc_t / 16384 - unsigned16(c) / 1024) * signed16(c + 2);
    float b = adc_t / 131072 - unsigned16(c) / 8192;
    float t_fine = a + b * b * signed16(c + 4);
    out->temperature_c = t_fine / 5120;
    out->pressure_hpa = pressure_pa(c, (float)(raw[0] << 12 | raw[1] << 4 | raw[2] >> 4), t_fine) / 100;
    return 0;
}

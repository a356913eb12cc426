/* BME280: forced measurement and the compensation of its datasheet (BST-BME280-DS002, 4.2.3 and 8.1, in float). */
#include <microclaw.h>

/* The firmware's own: a sensor is read in callbacks too, and a sleeping main is not left for it. */
__attribute__((import_module("env"), import_name("usleep"))) int microclaw_native_usleep(unsigned microseconds);

enum { CHIP_ID = 0xd0, CALIBRATION_1 = 0x88, CALIBRATION_2 = 0xe1, CTRL_HUM = 0xf2, CTRL_MEAS = 0xf4, DATA = 0xf7 };
enum { ID_BME280 = 0x60, OVERSAMPLING_1 = 1, FORCED_1X = 0x25, MEASURE_US = 10000 };

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
    if (i2c_read_reg(i2c, address, CALIBRATION_1, c1, 26) < 0 || i2c_read_reg(i2c, address, CALIBRATION_2, c2, 7) < 0 ||
        i2c_read_reg(i2c, address, DATA, raw, 8) < 0) {
        return -1;
    }
    float adc_t = (float)(raw[3] << 12 | raw[4] << 4 | raw[5] >> 4);
    float a = (adc_t / 16384 - unsigned16(c1) / 1024) * signed16(c1 + 2);
    float b = adc_t / 131072 - unsigned16(c1) / 8192;
    float t_fine = a + b * b * signed16(c1 + 4);
    out->temperature_c = t_fine / 5120;
    out->pressure_hpa = pressure_pa(c1, (float)(raw[0] << 12 | raw[1] << 4 | raw[2] >> 4), t_fine) / 100;
    out->humidity_pct = humidity_pct((float)c1[25], c2, (float)(raw[6] << 8 | raw[7]), t_fine);
    return 0;
}

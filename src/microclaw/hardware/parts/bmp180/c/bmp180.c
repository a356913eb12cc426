/* BMP180: a measurement of each value without oversampling, and the compensation of its datasheet (BST-BMP180-DS000, 3.5). */
#include <microclaw.h>

/* The firmware's own: a sensor is read in callbacks too, and a sleeping main is not left for it. */
__attribute__((import_module("env"), import_name("usleep"))) int microclaw_native_usleep(unsigned microseconds);

enum { CHIP_ID = 0xd0, CALIBRATION = 0xaa, CONTROL = 0xf4, OUT = 0xf6 };
enum { ID_BMP180 = 0x55, TEMPERATURE = 0x2e, PRESSURE = 0x34, MEASURE_US = 5000 };

static float signed16(const uint8_t *p) { return (float)(int16_t)(p[0] << 8 | p[1]); }
static float unsigned16(const uint8_t *p) { return (float)(p[0] << 8 | p[1]); }

static int measure(int i2c, int address, uint8_t control, uint8_t *raw) {
    if (i2c_write_reg(i2c, address, CONTROL, &control, 1) < 0) {
        return -1;
    }
    microclaw_native_usleep(MEASURE_US);
    return i2c_read_reg(i2c, address, OUT, raw, 3);
}

/* The words of the calibration are AC1 to AC6, B1, B2, MB, MC and MD. */
int bmp180_read(int i2c, int address, bmp180_t *out) {
    uint8_t id, c[22], temperature[3], pressure[3];
    if (i2c_read_reg(i2c, address, CHIP_ID, &id, 1) < 0 || id != ID_BMP180) {
        return -1;
    }
    if (i2c_read_reg(i2c, address, CALIBRATION, c, 22) < 0 || measure(i2c, address, TEMPERATURE, temperature) < 0 ||
        measure(i2c, address, PRESSURE, pressure) < 0) {
        return -1;
    }
    float x1 = (unsigned16(temperature) - unsigned16(c + 10)) * unsigned16(c + 8) / 32768;
    float b5 = x1 + signed16(c + 18) * 2048 / (x1 + signed16(c + 20));
    float b6 = b5 - 4000;
    float square = b6 * b6 / 4096;
    float b3 = (signed16(c) * 4 + signed16(c + 14) * square / 2048 + signed16(c + 2) * b6 / 2048) / 4;
    float b4 = signed16(c + 4) * b6 / 8192 + signed16(c + 12) * square / 65536;
    b4 = unsigned16(c + 6) * (b4 / 4 + 32768) / 32768;
    float p = (unsigned16(pressure) + (float)pressure[2] / 256 - b3) * 100000 / b4;
    p += (p * p / 65536 * 3038 / 65536 - 7357 * p / 65536 + 3791) / 16;
    out->temperature_c = b5 / 160;
    out->pressure_hpa = p / 100;
    return 0;
}

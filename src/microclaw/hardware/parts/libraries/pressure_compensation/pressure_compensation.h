/* What BME280 and BMP280 have in common: registers, and the compensation of temperature and pressure of their
   datasheets (BST-BME280-DS002, 4.2.3 and 8.1; BST-BMP280-DS001, 3.11.3 and 8.1; in float). */
#pragma once

#include <microclaw.h>

/* The firmware's own: a sensor is read in callbacks too, and a sleeping main is not left for it. */
__attribute__((import_module("env"), import_name("usleep"))) int microclaw_native_usleep(unsigned microseconds);

enum { CHIP_ID = 0xd0, CALIBRATION = 0x88, CTRL_MEAS = 0xf4, DATA = 0xf7 };
enum { FORCED_1X = 0x25 };

static inline float unsigned16(const uint8_t *p) { return (float)(p[0] | p[1] << 8); }
static inline float signed16(const uint8_t *p) { return (float)(int16_t)(p[0] | p[1] << 8); }

/* The temperature in 1/5120 of a degree, from the calibration and the bytes at DATA. */
static inline float fine_temperature(const uint8_t *c, const uint8_t *raw) {
    float adc_t = (float)(raw[3] << 12 | raw[4] << 4 | raw[5] >> 4);
    float a = (adc_t / 16384 - unsigned16(c) / 1024) * signed16(c + 2);
    float b = adc_t / 131072 - unsigned16(c) / 8192;
    return a + b * b * signed16(c + 4);
}

static inline float pressure_pa(const uint8_t *c, const uint8_t *raw, float t_fine) {
    float adc_p = (float)(raw[0] << 12 | raw[1] << 4 | raw[2] >> 4);
    float a = t_fine / 2 - 64000;
    float b = a * a * signed16(c + 16) / 32768 + a * signed16(c + 14) * 2;
    b = b / 4 + signed16(c + 12) * 65536;
    a = (signed16(c + 10) * a * a / 524288 + signed16(c + 8) * a) / 524288;
    a = (1 + a / 32768) * unsigned16(c + 6);
    if (a == 0) {
        return 0;
    }
    float p = (1048576 - adc_p - b / 4096) * 6250 / a;
    return p + (signed16(c + 22) * p * p / 2147483648.0f + p * signed16(c + 20) / 32768 + signed16(c + 18)) / 16;
}

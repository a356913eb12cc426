/* MPU6050: all seven values, in the ranges that the program chose (RM-MPU-6000A-00: 4.4, 4.5, 4.17 to 4.19, 4.28, 4.32). */
#include <microclaw.h>

/* The firmware's own: a sensor is read in callbacks too, and a sleeping main is not left for it. */
__attribute__((import_module("env"), import_name("usleep"))) int microclaw_native_usleep(unsigned microseconds);

enum { GYRO_CONFIG = 0x1b, DATA = 0x3b, POWER = 0x6b, WHO_AM_I = 0x75 };
enum { ID_MPU6050 = 0x68, SLEEP = 0x40, CLOCK_OF_GYRO = 1, START_US = 35000 };

static float signed16(const uint8_t *p) { return (float)(int16_t)(p[0] << 8 | p[1]); }

static int wake(int i2c, int address) {
    uint8_t power, awake = CLOCK_OF_GYRO;
    if (i2c_read_reg(i2c, address, POWER, &power, 1) < 0) {
        return -1;
    }
    if (!(power & SLEEP)) {
        return 0;
    }
    if (i2c_write_reg(i2c, address, POWER, &awake, 1) < 0) {
        return -1;
    }
    microclaw_native_usleep(START_US);
    return 0;
}

int mpu6050_read(int i2c, int address, mpu6050_t *out) {
    uint8_t id, ranges[2], raw[14];
    if (i2c_read_reg(i2c, address, WHO_AM_I, &id, 1) < 0 || id != ID_MPU6050 || wake(i2c, address) < 0) {
        return -1;
    }
    if (i2c_read_reg(i2c, address, GYRO_CONFIG, ranges, 2) < 0 || i2c_read_reg(i2c, address, DATA, raw, 14) < 0) {
        return -1;
    }
    float steps = 131.0f / (float)(1 << (ranges[0] >> 3 & 3));
    float g = (float)(16384 >> (ranges[1] >> 3 & 3));
    out->acceleration_x_g = signed16(raw) / g;
    out->acceleration_y_g = signed16(raw + 2) / g;
    out->acceleration_z_g = signed16(raw + 4) / g;
    out->temperature_c = signed16(raw + 6) / 340 + 36.53f;
    out->rotation_x_dps = signed16(raw + 8) / steps;
    out->rotation_y_dps = signed16(raw + 10) / steps;
    out->rotation_z_dps = signed16(raw + 12) / steps;
    return 0;
}

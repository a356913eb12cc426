/* Registers of the MPU6050 (RM-MPU-6000A-00, section 4). What does not answer reads as 0. */
#include <MPU6050.h>

enum { POWER = 0x6b, RESET = 0x80, ACCELERATION = 0x3b, ROTATION = 0x43 };

void Microclaw_MPU6050::start(int i2c) {
    i2c_ = i2c;
    setClockSource(MPU6050_CLOCK_PLL_XGYRO);
    setFullScaleGyroRange(MPU6050_GYRO_FS_250);
    setFullScaleAccelRange(MPU6050_ACCEL_FS_2);
    setSleepEnabled(false);
}

void Microclaw_MPU6050::reset() {
    uint8_t value = RESET;
    i2c_write_reg(i2c_, address_, POWER, &value, 1);
}

int16_t Microclaw_MPU6050::word(uint8_t where) {
    uint8_t pair[2] = {};
    i2c_read_reg(i2c_, address_, where, pair, 2);
    return (int16_t)(pair[0] << 8 | pair[1]);
}

void Microclaw_MPU6050::axes(uint8_t where, int16_t *x, int16_t *y, int16_t *z) {
    uint8_t row[6] = {};
    i2c_read_reg(i2c_, address_, where, row, 6);
    *x = (int16_t)(row[0] << 8 | row[1]);
    *y = (int16_t)(row[2] << 8 | row[3]);
    *z = (int16_t)(row[4] << 8 | row[5]);
}

void Microclaw_MPU6050::getMotion6(int16_t *ax, int16_t *ay, int16_t *az, int16_t *gx, int16_t *gy, int16_t *gz) {
    axes(ACCELERATION, ax, ay, az);
    axes(ROTATION, gx, gy, gz);
}

uint8_t Microclaw_MPU6050::bits(uint8_t where, int shift, int count) {
    uint8_t value = 0;
    i2c_read_reg(i2c_, address_, where, &value, 1);
    return (uint8_t)(value >> shift & ((1 << count) - 1));
}

void Microclaw_MPU6050::setBits(uint8_t where, int shift, int count, uint8_t bits) {
    uint8_t value = 0;
    uint8_t mask = (uint8_t)(((1 << count) - 1) << shift);
    i2c_read_reg(i2c_, address_, where, &value, 1);
    value = (uint8_t)((value & ~mask) | (bits << shift & mask));
    i2c_write_reg(i2c_, address_, where, &value, 1);
}

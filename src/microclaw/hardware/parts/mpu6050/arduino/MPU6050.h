/* MPU6050.h: the sensor's own numbers, and its registers; our own code behind the names of the library. */
#pragma once
#include <Wire.h>
#include <arduino/pin_arguments.h>
#define MPU6050_ADDRESS_AD0_LOW 0x68
#define MPU6050_ADDRESS_AD0_HIGH 0x69
#define MPU6050_DEFAULT_ADDRESS MPU6050_ADDRESS_AD0_LOW
#define MPU6050_GYRO_FS_250 0
#define MPU6050_GYRO_FS_500 1
#define MPU6050_GYRO_FS_1000 2
#define MPU6050_GYRO_FS_2000 3
#define MPU6050_ACCEL_FS_2 0
#define MPU6050_ACCEL_FS_4 1
#define MPU6050_ACCEL_FS_8 2
#define MPU6050_ACCEL_FS_16 3
#define MPU6050_DLPF_BW_256 0
#define MPU6050_DLPF_BW_188 1
#define MPU6050_DLPF_BW_98 2
#define MPU6050_DLPF_BW_42 3
#define MPU6050_DLPF_BW_20 4
#define MPU6050_DLPF_BW_10 5
#define MPU6050_DLPF_BW_5 6
#define MPU6050_CLOCK_INTERNAL 0
#define MPU6050_CLOCK_PLL_XGYRO 1
/* The alias below is in the sketch alone: the libraries of this chip lie in one archive. */
class Microclaw_MPU6050 {
  public:
    Microclaw_MPU6050(uint8_t address = MPU6050_DEFAULT_ADDRESS, void * = nullptr) : address_(address) {}
    /* Here, as only the program knows its board's pins. */
    void initialize() MICROCLAW_I2C_PINS { start(microclaw_board_i2c()); }
    bool testConnection() { return getDeviceID() == 0x34; }
    uint8_t getDeviceID() { return bits(0x75, 1, 6); }
    void getMotion6(int16_t *ax, int16_t *ay, int16_t *az, int16_t *gx, int16_t *gy, int16_t *gz);
    void getAcceleration(int16_t *x, int16_t *y, int16_t *z) { axes(0x3b, x, y, z); }
    void getRotation(int16_t *x, int16_t *y, int16_t *z) { axes(0x43, x, y, z); }
    int16_t getAccelerationX() { return word(0x3b); }
    int16_t getAccelerationY() { return word(0x3d); }
    int16_t getAccelerationZ() { return word(0x3f); }
    int16_t getTemperature() { return word(0x41); } /* / 340 + 36.53 are degrees */
    int16_t getRotationX() { return word(0x43); }
    int16_t getRotationY() { return word(0x45); }
    int16_t getRotationZ() { return word(0x47); }
    uint8_t getFullScaleGyroRange() { return bits(0x1b, 3, 2); }
    void setFullScaleGyroRange(uint8_t range) { setBits(0x1b, 3, 2, range); }
    uint8_t getFullScaleAccelRange() { return bits(0x1c, 3, 2); }
    void setFullScaleAccelRange(uint8_t range) { setBits(0x1c, 3, 2, range); }
    uint8_t getDLPFMode() { return bits(0x1a, 0, 3); }
    void setDLPFMode(uint8_t mode) { setBits(0x1a, 0, 3, mode); }
    uint8_t getRate() { return bits(0x19, 0, 8); }
    void setRate(uint8_t divisor) { setBits(0x19, 0, 8, divisor); }
    void setClockSource(uint8_t source) { setBits(0x6b, 0, 3, source); }
    bool getSleepEnabled() { return bits(0x6b, 6, 1); }
    void setSleepEnabled(bool on) { setBits(0x6b, 6, 1, on); }
    void setMotionDetectionThreshold(uint8_t threshold) { setBits(0x1f, 0, 8, threshold); }
    void setMotionDetectionDuration(uint8_t milliseconds) { setBits(0x20, 0, 8, milliseconds); }
    void setIntMotionEnabled(bool on) { setBits(0x38, 6, 1, on); }
    bool getIntMotionStatus() { return bits(0x3a, 6, 1); }
    void reset();

  private:
    void start(int i2c);
    int16_t word(uint8_t where);
    void axes(uint8_t where, int16_t *x, int16_t *y, int16_t *z);
    uint8_t bits(uint8_t where, int shift, int count);
    void setBits(uint8_t where, int shift, int count, uint8_t value);
    int i2c_ = -1;
    uint8_t address_;
};
using MPU6050 = Microclaw_MPU6050;

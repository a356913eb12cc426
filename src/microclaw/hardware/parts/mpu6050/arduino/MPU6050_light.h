/* MPU6050_light.h: g, degrees a second, and angles of both; our own code behind the names of the library. */
#pragma once
#include <Wire.h>
#include <arduino/pin_arguments.h>
class Microclaw_MPU6050_light {
  public:
    explicit Microclaw_MPU6050_light(TwoWire &) {}
    void setAddress(uint8_t address) { address_ = address; }
    /* 0: it answers. Here, as only the program knows its board's pins. The ranges are numbers from 0. */
    byte begin(int gyro_range = 1, int acceleration_range = 0) MICROCLAW_I2C_PINS {
        return start(microclaw_board_i2c(), gyro_range, acceleration_range);
    }
    void update(); /* call it often: the angles sum the rotation up */
    void fetchData();
    /* Averages of what is measured now, at rest and flat, become zero. */
    void calcOffsets(bool gyro = true, bool acceleration = true);
    void calcGyroOffsets() { calcOffsets(true, false); }
    void calcAccOffsets() { calcOffsets(false, true); }
    void setGyroOffsets(float x, float y, float z) { set(gyro_offset_, x, y, z); }
    void setAccOffsets(float x, float y, float z) { set(acc_offset_, x, y, z); }
    void setFilterGyroCoef(float share) { gyro_share_ = share < 0 || share > 1 ? 0.98f : share; }
    void setFilterAccCoef(float share) { setFilterGyroCoef(1 - share); }
    float getAccX() const { return acc_[0]; }
    float getAccY() const { return acc_[1]; }
    float getAccZ() const { return acc_[2]; }
    float getGyroX() const { return gyro_[0]; }
    float getGyroY() const { return gyro_[1]; }
    float getGyroZ() const { return gyro_[2]; }
    float getAccXoffset() const { return acc_offset_[0]; }
    float getAccYoffset() const { return acc_offset_[1]; }
    float getAccZoffset() const { return acc_offset_[2]; }
    float getGyroXoffset() const { return gyro_offset_[0]; }
    float getGyroYoffset() const { return gyro_offset_[1]; }
    float getGyroZoffset() const { return gyro_offset_[2]; }
    float getAccAngleX() const { return acc_angle_[0]; }
    float getAccAngleY() const { return acc_angle_[1]; }
    float getAngleX() const { return angle_[0]; }
    float getAngleY() const { return angle_[1]; }
    float getAngleZ() const { return angle_[2]; }
    float getTemp() const { return celsius_; }

  private:
    byte start(int i2c, int gyro_range, int acceleration_range);
    static void set(float *to, float x, float y, float z);
    int i2c_ = -1;
    uint8_t address_ = 0x68;
    float gyro_share_ = 0.98f, celsius_ = 0;
    float acc_[3] = {}, gyro_[3] = {}, acc_offset_[3] = {}, gyro_offset_[3] = {}, acc_angle_[2] = {}, angle_[3] = {};
    unsigned long updated_ms_ = 0;
};
using MPU6050 = Microclaw_MPU6050_light;

/* Adafruit_MPU6050.h: the sensor by the reading of microclaw.h; our own code behind the names of the library. */
#pragma once
#include <Adafruit_Sensor.h>
#include <Wire.h>
#include <arduino/pin_arguments.h>
#define MPU6050_I2CADDR_DEFAULT 0x68
typedef enum { MPU6050_RANGE_2_G, MPU6050_RANGE_4_G, MPU6050_RANGE_8_G, MPU6050_RANGE_16_G } mpu6050_accel_range_t;
typedef enum {
    MPU6050_RANGE_250_DEG,
    MPU6050_RANGE_500_DEG,
    MPU6050_RANGE_1000_DEG,
    MPU6050_RANGE_2000_DEG
} mpu6050_gyro_range_t;
typedef enum {
    MPU6050_BAND_260_HZ,
    MPU6050_BAND_184_HZ,
    MPU6050_BAND_94_HZ,
    MPU6050_BAND_44_HZ,
    MPU6050_BAND_21_HZ,
    MPU6050_BAND_10_HZ,
    MPU6050_BAND_5_HZ
} mpu6050_bandwidth_t;
typedef enum {
    MPU6050_HIGHPASS_DISABLE,
    MPU6050_HIGHPASS_5_HZ,
    MPU6050_HIGHPASS_2_5_HZ,
    MPU6050_HIGHPASS_1_25_HZ,
    MPU6050_HIGHPASS_0_63_HZ,
    MPU6050_HIGHPASS_UNUSED,
    MPU6050_HIGHPASS_HOLD
} mpu6050_highpass_t;
typedef enum { MPU6050_CYCLE_1_25_HZ, MPU6050_CYCLE_5_HZ, MPU6050_CYCLE_20_HZ, MPU6050_CYCLE_40_HZ } mpu6050_cycle_rate_t;
class Adafruit_MPU6050;
/* What it measures of one kind, as an Adafruit_Sensor. */
class Adafruit_MPU6050_Value final : public Adafruit_Sensor {
  public:
    Adafruit_MPU6050_Value(Adafruit_MPU6050 *parent, sensors_type_t type) : parent_(parent), type_(type) {}
    bool getEvent(sensors_event_t *event) override;
    void getSensor(sensor_t *sensor) override;

  private:
    Adafruit_MPU6050 *parent_;
    sensors_type_t type_;
};
class Adafruit_MPU6050 {
  public:
    Adafruit_MPU6050() {}
    /* Here, as only the program knows its board's pins. */
    bool begin(uint8_t address = MPU6050_I2CADDR_DEFAULT, TwoWire * = &Wire, int32_t = 0) MICROCLAW_I2C_PINS {
        return start(microclaw_board_i2c(), address);
    }
    /* m/s2, rad/s and degrees Celsius; false if nothing answers. */
    bool getEvent(sensors_event_t *acceleration, sensors_event_t *gyro, sensors_event_t *temperature);
    mpu6050_accel_range_t getAccelerometerRange() { return (mpu6050_accel_range_t)bits(0x1c, 3, 2); }
    void setAccelerometerRange(mpu6050_accel_range_t range) { setBits(0x1c, 3, 2, range); }
    mpu6050_gyro_range_t getGyroRange() { return (mpu6050_gyro_range_t)bits(0x1b, 3, 2); }
    void setGyroRange(mpu6050_gyro_range_t range) { setBits(0x1b, 3, 2, range); }
    mpu6050_bandwidth_t getFilterBandwidth() { return (mpu6050_bandwidth_t)bits(0x1a, 0, 3); }
    void setFilterBandwidth(mpu6050_bandwidth_t bandwidth) { setBits(0x1a, 0, 3, bandwidth); }
    mpu6050_highpass_t getHighPassFilter() { return (mpu6050_highpass_t)bits(0x1c, 0, 3); }
    void setHighPassFilter(mpu6050_highpass_t filter) { setBits(0x1c, 0, 3, filter); }
    uint8_t getSampleRateDivisor() { return bits(0x19, 0, 8); }
    void setSampleRateDivisor(uint8_t divisor) { setBits(0x19, 0, 8, divisor); }
    mpu6050_cycle_rate_t getCycleRate() { return (mpu6050_cycle_rate_t)bits(0x6c, 6, 2); }
    void setCycleRate(mpu6050_cycle_rate_t rate) { setBits(0x6c, 6, 2, rate); }
    bool enableSleep(bool on) { return setBits(0x6b, 6, 1, on); }
    bool enableCycle(bool on) { return setBits(0x6b, 5, 1, on); }
    bool setTemperatureStandby(bool on) { return setBits(0x6b, 3, 1, on); }
    void setMotionDetectionThreshold(uint8_t threshold) { setBits(0x1f, 0, 8, threshold); }
    void setMotionDetectionDuration(uint8_t milliseconds) { setBits(0x20, 0, 8, milliseconds); }
    void setMotionInterrupt(bool on) { setBits(0x38, 6, 1, on); }
    bool getMotionInterruptStatus() { return bits(0x3a, 6, 1); }
    void setInterruptPinPolarity(bool active_low) { setBits(0x37, 7, 1, active_low); }
    void setInterruptPinLatch(bool held) { setBits(0x37, 5, 1, held); }
    void reset();
    Adafruit_Sensor *getAccelerometerSensor() { return &acceleration_; }
    Adafruit_Sensor *getGyroSensor() { return &gyro_; }
    Adafruit_Sensor *getTemperatureSensor() { return &temperature_; }

  private:
    bool start(int i2c, uint8_t address);
    uint8_t bits(uint8_t where, int shift, int count);
    bool setBits(uint8_t where, int shift, int count, uint8_t value);
    int i2c_ = -1;
    uint8_t address_ = MPU6050_I2CADDR_DEFAULT;
    Adafruit_MPU6050_Value acceleration_{this, SENSOR_TYPE_ACCELEROMETER}, gyro_{this, SENSOR_TYPE_GYROSCOPE},
        temperature_{this, SENSOR_TYPE_AMBIENT_TEMPERATURE};
};

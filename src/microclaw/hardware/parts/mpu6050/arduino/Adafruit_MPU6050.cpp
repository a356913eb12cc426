/* The MPU6050 by mpu6050_read; ranges and filters are bits of its registers. */
#include <Adafruit_MPU6050.h>

enum { POWER = 0x6b, RESET = 0x80 };

bool Adafruit_MPU6050::start(int i2c, uint8_t address) {
    i2c_ = i2c;
    address_ = address;
    mpu6050_t reading;
    if (mpu6050_read(i2c_, address_, &reading) < 0) {
        return false;
    }
    setGyroRange(MPU6050_RANGE_500_DEG);
    setAccelerometerRange(MPU6050_RANGE_2_G);
    return true;
}

void Adafruit_MPU6050::reset() {
    uint8_t value = RESET;
    i2c_write_reg(i2c_, address_, POWER, &value, 1);
    delay(100);
    start(i2c_, address_);
}

uint8_t Adafruit_MPU6050::bits(uint8_t where, int shift, int count) {
    uint8_t value = 0;
    i2c_read_reg(i2c_, address_, where, &value, 1);
    return (uint8_t)(value >> shift & ((1 << count) - 1));
}

bool Adafruit_MPU6050::setBits(uint8_t where, int shift, int count, uint8_t bits) {
    uint8_t value = 0;
    uint8_t mask = (uint8_t)(((1 << count) - 1) << shift);
    if (i2c_read_reg(i2c_, address_, where, &value, 1) < 0) {
        return false;
    }
    value = (uint8_t)((value & ~mask) | (bits << shift & mask));
    return i2c_write_reg(i2c_, address_, where, &value, 1) == 0;
}

bool Adafruit_MPU6050::getEvent(sensors_event_t *acceleration, sensors_event_t *gyro, sensors_event_t *temperature) {
    mpu6050_t reading;
    if (mpu6050_read(i2c_, address_, &reading) < 0) {
        return false;
    }
    microclaw_fill(acceleration, SENSOR_TYPE_ACCELEROMETER, 0x650);
    acceleration->acceleration.x = reading.acceleration_x_g * SENSORS_GRAVITY_STANDARD;
    acceleration->acceleration.y = reading.acceleration_y_g * SENSORS_GRAVITY_STANDARD;
    acceleration->acceleration.z = reading.acceleration_z_g * SENSORS_GRAVITY_STANDARD;
    microclaw_fill(gyro, SENSOR_TYPE_GYROSCOPE, 0x651);
    gyro->gyro.x = reading.rotation_x_dps * SENSORS_DPS_TO_RADS;
    gyro->gyro.y = reading.rotation_y_dps * SENSORS_DPS_TO_RADS;
    gyro->gyro.z = reading.rotation_z_dps * SENSORS_DPS_TO_RADS;
    microclaw_fill(temperature, SENSOR_TYPE_AMBIENT_TEMPERATURE, 0x652);
    temperature->temperature = reading.temperature_c;
    return true;
}

bool Adafruit_MPU6050_Value::getEvent(sensors_event_t *event) {
    sensors_event_t acceleration, gyro, temperature;
    if (!parent_->getEvent(&acceleration, &gyro, &temperature)) {
        return false;
    }
    switch (type_) {
    case SENSOR_TYPE_ACCELEROMETER:
        *event = acceleration;
        break;
    case SENSOR_TYPE_GYROSCOPE:
        *event = gyro;
        break;
    default:
        *event = temperature;
    }
    return true;
}

void Adafruit_MPU6050_Value::getSensor(sensor_t *sensor) {
    switch (type_) {
    case SENSOR_TYPE_ACCELEROMETER:
        microclaw_fill(sensor, "MPU6050_A", type_, -156.9064f, 156.9064f, 0.061f);
        break;
    case SENSOR_TYPE_GYROSCOPE:
        microclaw_fill(sensor, "MPU6050_G", type_, -34.91f, 34.91f, 1.332e-4f);
        break;
    default:
        microclaw_fill(sensor, "MPU6050_T", type_, -40, 105, 0.00294f);
    }
}

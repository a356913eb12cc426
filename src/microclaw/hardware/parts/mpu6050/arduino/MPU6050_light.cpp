/* The MPU6050 by mpu6050_read. Angles are the rotation over time, drawn to where gravity says that down is. */
#include <MPU6050_light.h>

enum { SAMPLES = 100, GYRO_CONFIG = 0x1b, ACCEL_CONFIG = 0x1c };

byte Microclaw_MPU6050_light::start(int i2c, int gyro_range, int acceleration_range) {
    mpu6050_t reading;
    uint8_t gyro = (uint8_t)(gyro_range << 3), acceleration = (uint8_t)(acceleration_range << 3);
    i2c_ = i2c;
    if (mpu6050_read(i2c_, address_, &reading) < 0) {
        return 2;
    }
    i2c_write_reg(i2c_, address_, GYRO_CONFIG, &gyro, 1);
    i2c_write_reg(i2c_, address_, ACCEL_CONFIG, &acceleration, 1);
    update();
    angle_[0] = acc_angle_[0];
    angle_[1] = acc_angle_[1];
    updated_ms_ = millis();
    return 0;
}

void Microclaw_MPU6050_light::set(float *to, float x, float y, float z) {
    to[0] = x;
    to[1] = y;
    to[2] = z;
}

void Microclaw_MPU6050_light::fetchData() {
    mpu6050_t r;
    if (mpu6050_read(i2c_, address_, &r) < 0) {
        return;
    }
    set(acc_, r.acceleration_x_g - acc_offset_[0], r.acceleration_y_g - acc_offset_[1], r.acceleration_z_g - acc_offset_[2]);
    set(gyro_, r.rotation_x_dps - gyro_offset_[0], r.rotation_y_dps - gyro_offset_[1], r.rotation_z_dps - gyro_offset_[2]);
    celsius_ = r.temperature_c;
}

void Microclaw_MPU6050_light::calcOffsets(bool gyro, bool acceleration) {
    float acc_sum[3] = {}, gyro_sum[3] = {};
    if (acceleration) {
        set(acc_offset_, 0, 0, 0);
    }
    if (gyro) {
        set(gyro_offset_, 0, 0, 0);
    }
    for (int sample = 0; sample < SAMPLES; sample++) {
        fetchData();
        for (int axis = 0; axis < 3; axis++) {
            acc_sum[axis] += acc_[axis] / SAMPLES;
            gyro_sum[axis] += gyro_[axis] / SAMPLES;
        }
        delay(1);
    }
    if (acceleration) {
        set(acc_offset_, acc_sum[0], acc_sum[1], acc_sum[2] - 1);
    }
    if (gyro) {
        set(gyro_offset_, gyro_sum[0], gyro_sum[1], gyro_sum[2]);
    }
}

void Microclaw_MPU6050_light::update() {
    fetchData();
    unsigned long now_ms = millis();
    float passed_s = (float)(now_ms - updated_ms_) / 1000;
    updated_ms_ = now_ms;
    float below = acc_[2] < 0 ? -1 : 1;
    acc_angle_[0] = (float)(atan2(acc_[1], below * sqrt(acc_[2] * acc_[2] + acc_[0] * acc_[0])) * RAD_TO_DEG);
    acc_angle_[1] = (float)(-atan2(acc_[0], sqrt(acc_[2] * acc_[2] + acc_[1] * acc_[1])) * RAD_TO_DEG);
    for (int axis = 0; axis < 2; axis++) {
        float turned = angle_[axis] + gyro_[axis] * passed_s;
        angle_[axis] = gyro_share_ * turned + (1 - gyro_share_) * acc_angle_[axis];
    }
    angle_[2] += gyro_[2] * passed_s;
}

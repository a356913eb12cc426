/* Adafruit_INA219.h: the sensor on I2C, by the reading of microclaw.h; our own code behind the names of the library. */
#pragma once
#include <Wire.h>
#include <arduino/pin_arguments.h>
#define INA219_ADDRESS 0x40
class Adafruit_INA219 {
  public:
    Adafruit_INA219(uint8_t address = INA219_ADDRESS) : address_(address) {}
    /* Here, as only the program knows its board's pins. */
    bool begin(TwoWire * = &Wire) MICROCLAW_I2C_PINS { return start(microclaw_board_i2c()); }
    /* The range stays that of the chip's start, 32 V and 3.2 A, which holds the others; a step is 0.1 mA. */
    void setCalibration_32V_2A() {}
    void setCalibration_32V_1A() {}
    void setCalibration_16V_400mA() {}
    float getBusVoltage_V();
    float getShuntVoltage_mV();
    float getCurrent_mA();
    float getPower_mW();
    void powerSave(bool on);
    bool success() { return success_; }

  private:
    bool start(int i2c);
    int i2c_ = -1;
    uint8_t address_;
    bool success_ = false;
};

/* The INA219 by ina219_read. What does not answer reads as 0, as in the library: success() tells. */
#include <Adafruit_INA219.h>

#define SHUNT_OHM 0.1f
/* The configuration at the chip's start (TI SBOS448, 8.6.2.1), and the bits of its mode. */
enum { CONFIGURATION = 0, AT_START = 0x399f, MODE = 7 };

bool Adafruit_INA219::start(int i2c) {
    i2c_ = i2c;
    powerSave(false);
    return success_;
}

void Adafruit_INA219::powerSave(bool on) {
    uint16_t value = on ? AT_START & ~MODE : AT_START;
    uint8_t bytes[2] = {highByte(value), lowByte(value)};
    success_ = i2c_write_reg(i2c_, address_, CONFIGURATION, bytes, 2) == 0;
}

static ina219_t measure(int i2c, uint8_t address, bool *success) {
    ina219_t reading = {};
    *success = ina219_read(i2c, address, &reading) == 0;
    return reading;
}

float Adafruit_INA219::getBusVoltage_V() { return measure(i2c_, address_, &success_).voltage_v; }
float Adafruit_INA219::getCurrent_mA() { return measure(i2c_, address_, &success_).current_ma; }
float Adafruit_INA219::getPower_mW() { return measure(i2c_, address_, &success_).power_mw; }
float Adafruit_INA219::getShuntVoltage_mV() { return getCurrent_mA() * SHUNT_OHM; }

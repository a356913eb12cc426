/* One byte of the eight pins each way (NXP PCF8574, section 8). A pin must have been written high to be read. */
#include <PCF8574.h>

bool PCF8574::start(uint8_t value) {
    write8((uint8_t)(value & ~low_));
    return error_ == PCF8574_OK;
}

bool PCF8574::isConnected() {
    Wire.beginTransmission(address_);
    return Wire.endTransmission() == 0;
}

bool PCF8574::setAddress(uint8_t address) {
    address_ = address;
    return isConnected();
}

uint8_t PCF8574::read8() {
    if (Wire.requestFrom(address_, 1) != 1) {
        error_ = PCF8574_I2C_ERROR;
        return in_;
    }
    in_ = (uint8_t)Wire.read();
    return in_;
}

void PCF8574::write8(uint8_t value) {
    out_ = value;
    Wire.beginTransmission(address_);
    Wire.write(value);
    error_ = Wire.endTransmission() == 0 ? PCF8574_OK : PCF8574_I2C_ERROR;
}

void PCF8574::write(uint8_t pin, uint8_t level) {
    if (pin > 7) {
        error_ = PCF8574_PIN_ERROR;
        return;
    }
    uint8_t mask = (uint8_t)(1 << pin);
    write8((uint8_t)(level ? out_ | mask : out_ & ~mask));
}

uint8_t PCF8574::readButton8(uint8_t mask) {
    uint8_t before = out_;
    write8(out_ | mask);
    uint8_t levels = read8();
    write8(before);
    return levels;
}

int PCF8574::lastError() {
    int error = error_;
    error_ = PCF8574_OK;
    return error;
}

void PCF8574::pinMode(uint8_t pin, uint8_t mode, uint8_t level) {
    uint8_t mask = (uint8_t)(1 << (pin & 7));
    bool is_low = mode == OUTPUT && level == LOW;
    low_ = (uint8_t)(is_low ? low_ | mask : low_ & ~mask);
}

bool PCF8574::digitalWrite(uint8_t pin, uint8_t level) {
    write(pin, level);
    return error_ == PCF8574_OK;
}

PCF8574::DigitalInput PCF8574::digitalReadAll() {
    uint8_t levels = read8();
    DigitalInput result = {};
    uint8_t *places[] = {&result.p0, &result.p1, &result.p2, &result.p3, &result.p4, &result.p5, &result.p6, &result.p7};
    for (int pin = 0; pin < 8; pin++) {
        *places[pin] = levels >> pin & 1;
    }
    return result;
}

bool PCF8574::digitalWriteAll(DigitalInput levels) {
    uint8_t each[] = {levels.p0, levels.p1, levels.p2, levels.p3, levels.p4, levels.p5, levels.p6, levels.p7};
    uint8_t value = 0;
    for (int pin = 0; pin < 8; pin++) {
        value = (uint8_t)(value | (each[pin] ? 1 << pin : 0));
    }
    write8(value);
    return error_ == PCF8574_OK;
}

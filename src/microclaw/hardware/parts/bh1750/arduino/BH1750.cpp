/* A value of a continuous mode is the chip's last one. A one-time mode is begun again for each value, as in the library. */
#include <BH1750.h>

enum { USUAL_TIME = 69, LEAST_TIME = 31, MOST_TIME = 254, ONE_TIME = 0x20, TIME_HIGH = 0x40, TIME_LOW = 0x60 };

bool BH1750::send(uint8_t instruction) {
    Wire.beginTransmission(address_);
    Wire.write(instruction);
    return Wire.endTransmission() == 0;
}

bool BH1750::configure(Mode mode) {
    if (mode == UNCONFIGURED || !send(mode)) {
        return false;
    }
    delay(10);
    mode_ = mode;
    began_ms_ = millis();
    return true;
}

bool BH1750::setMTreg(uint8_t time) {
    if (time < LEAST_TIME || time > MOST_TIME) {
        return false;
    }
    if (!send((uint8_t)(TIME_HIGH | time >> 5)) || !send((uint8_t)(TIME_LOW | (time & 31))) || !send(mode_)) {
        return false;
    }
    time_ = time;
    began_ms_ = millis();
    return true;
}

unsigned BH1750::measureMs(bool longest) const {
    bool is_low = mode_ == CONTINUOUS_LOW_RES_MODE || mode_ == ONE_TIME_LOW_RES_MODE;
    unsigned usual_ms = is_low ? (longest ? 24 : 16) : (longest ? 180 : 120);
    return usual_ms * time_ / USUAL_TIME;
}

bool BH1750::measurementReady(bool longest) { return millis() - began_ms_ >= measureMs(longest); }

float BH1750::readLightLevel() {
    if (mode_ == UNCONFIGURED) {
        return -2;
    }
    if (Wire.requestFrom(address_, 2) != 2) {
        return -1;
    }
    int high = Wire.read();
    float lux = (float)(high << 8 | Wire.read()) / 1.2f * USUAL_TIME / time_;
    if (mode_ == CONTINUOUS_HIGH_RES_MODE_2 || mode_ == ONE_TIME_HIGH_RES_MODE_2) {
        lux /= 2;
    }
    return lux;
}

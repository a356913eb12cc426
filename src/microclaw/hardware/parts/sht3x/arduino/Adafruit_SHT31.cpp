/* The SHT3x by sht3x_read; its other commands go through Wire. */
#include <Adafruit_SHT31.h>

enum { STATUS = 0xf32d, SOFT_RESET = 0x30a2, HEATER_ON = 0x306d, HEATER_OFF = 0x3066, HEATER_BIT = 13 };

bool Adafruit_SHT31::start(int i2c, uint8_t address) {
    i2c_ = i2c;
    address_ = address;
    reset();
    return readStatus() != 0xffff;
}

bool Adafruit_SHT31::command(uint16_t command) {
    Wire.beginTransmission(address_);
    Wire.write(highByte(command));
    Wire.write(lowByte(command));
    return Wire.endTransmission() == 0;
}

uint16_t Adafruit_SHT31::readStatus() {
    if (!command(STATUS) || Wire.requestFrom(address_, 3) != 3) {
        return 0xffff;
    }
    int high = Wire.read();
    return (uint16_t)(high << 8 | Wire.read());
}

void Adafruit_SHT31::reset() {
    command(SOFT_RESET);
    delay(10);
}

void Adafruit_SHT31::heater(bool on) {
    command(on ? HEATER_ON : HEATER_OFF);
    delay(1);
}

bool Adafruit_SHT31::isHeaterEnabled() { return readStatus() >> HEATER_BIT & 1; }

bool Adafruit_SHT31::readBoth(float *celsius, float *percent) {
    sht3x_t reading;
    bool answers = sht3x_read(i2c_, address_, &reading) == 0;
    *celsius = answers ? reading.temperature_c : NAN;
    *percent = answers ? reading.humidity_pct : NAN;
    return answers;
}

float Adafruit_SHT31::readTemperature() {
    float celsius, percent;
    readBoth(&celsius, &percent);
    return celsius;
}

float Adafruit_SHT31::readHumidity() {
    float celsius, percent;
    readBoth(&celsius, &percent);
    return percent;
}

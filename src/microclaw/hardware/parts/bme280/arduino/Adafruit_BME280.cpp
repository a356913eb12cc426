/* The BME280 by bme280_read, which measures once. In the library's normal mode, with its sampling of 16, the chip has a new
 * value about 8 times a second: until then the last one is given. */
#include <Adafruit_BME280.h>

enum { CHIP_ID = 0xd0, ID_BME280 = 0x60, FRESH_MS = 113 };

bool Adafruit_BME280::start(int i2c, uint8_t address) {
    i2c_ = i2c;
    address_ = address;
    measured_ = false;
    return sensorID() == ID_BME280;
}

uint32_t Adafruit_BME280::sensorID() {
    uint8_t id = 0;
    return i2c_read_reg(i2c_, address_, CHIP_ID, &id, 1) < 0 ? 0xff : id;
}

bool Adafruit_BME280::takeForcedMeasurement() {
    bme280_t reading;
    measured_ = bme280_read(i2c_, address_, &reading) == 0;
    measured_ms_ = millis();
    celsius_ = measured_ ? reading.temperature_c : NAN;
    percent_ = measured_ ? reading.humidity_pct : NAN;
    hpa_ = measured_ ? reading.pressure_hpa : NAN;
    return measured_;
}

void Adafruit_BME280::refresh() {
    bool fresh = measured_ && (mode_ != MODE_NORMAL || millis() - measured_ms_ < FRESH_MS);
    if (!fresh) {
        takeForcedMeasurement();
    }
}

float Adafruit_BME280::readTemperature() {
    refresh();
    return celsius_ + compensation_;
}

float Adafruit_BME280::readPressure() {
    refresh();
    return hpa_ * 100;
}

float Adafruit_BME280::readHumidity() {
    refresh();
    return percent_;
}

/* The barometric formula of the international standard atmosphere (ISO 2533). */
float Adafruit_BME280::readAltitude(float sea_level_hpa) {
    return (float)(44330.0 * (1.0 - pow(readPressure() / 100 / sea_level_hpa, 0.1903)));
}

float Adafruit_BME280::seaLevelForAltitude(float altitude_m, float pressure_hpa) {
    return (float)(pressure_hpa / pow(1.0 - altitude_m / 44330.0, 5.255));
}

bool Adafruit_BME280_Value::getEvent(sensors_event_t *event) {
    microclaw_fill(event, type_, -1);
    switch (type_) {
    case SENSOR_TYPE_PRESSURE:
        event->pressure = parent_->readPressure() / 100;
        break;
    case SENSOR_TYPE_RELATIVE_HUMIDITY:
        event->relative_humidity = parent_->readHumidity();
        break;
    default:
        event->temperature = parent_->readTemperature();
    }
    return true;
}

void Adafruit_BME280_Value::getSensor(sensor_t *sensor) {
    switch (type_) {
    case SENSOR_TYPE_PRESSURE:
        microclaw_fill(sensor, "BME280", type_, 300, 1100, 0.012f);
        break;
    case SENSOR_TYPE_RELATIVE_HUMIDITY:
        microclaw_fill(sensor, "BME280", type_, 0, 100, 3);
        break;
    default:
        microclaw_fill(sensor, "BME280", type_, -40, 85, 0.01f);
    }
}

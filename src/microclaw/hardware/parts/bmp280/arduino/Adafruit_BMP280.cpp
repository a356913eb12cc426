/* The BMP280 by bmp280_read, which measures once for each value. */
#include <Adafruit_BMP280.h>

enum { CHIP_ID = 0xd0 };

bool Adafruit_BMP280::start(int i2c, uint8_t address, uint8_t chip_id) {
    i2c_ = i2c;
    address_ = address;
    return sensorID() == chip_id;
}

uint8_t Adafruit_BMP280::sensorID() {
    uint8_t id = 0;
    return i2c_read_reg(i2c_, address_, CHIP_ID, &id, 1) < 0 ? 0xff : id;
}

bool Adafruit_BMP280::takeForcedMeasurement() {
    bmp280_t reading;
    return bmp280_read(i2c_, address_, &reading) == 0;
}

float Adafruit_BMP280::readTemperature() {
    bmp280_t reading;
    return bmp280_read(i2c_, address_, &reading) < 0 ? NAN : reading.temperature_c;
}

float Adafruit_BMP280::readPressure() {
    bmp280_t reading;
    return bmp280_read(i2c_, address_, &reading) < 0 ? NAN : reading.pressure_hpa * 100;
}

/* The barometric formula of the international standard atmosphere (ISO 2533). */
float Adafruit_BMP280::readAltitude(float sea_level_hpa) {
    return (float)(44330.0 * (1.0 - pow(readPressure() / 100 / sea_level_hpa, 0.1903)));
}

float Adafruit_BMP280::seaLevelForAltitude(float altitude_m, float pressure_hpa) {
    return (float)(pressure_hpa / pow(1.0 - altitude_m / 44330.0, 5.255));
}

/* The Magnus formula over water, solved for the temperature. */
float Adafruit_BMP280::waterBoilingPoint(float pressure_hpa) {
    double ratio = log(pressure_hpa / 6.1078);
    return (float)(234.175 * ratio / (17.08085 - ratio));
}

bool Adafruit_BMP280_Value::getEvent(sensors_event_t *event) {
    microclaw_fill(event, type_, -1);
    if (type_ == SENSOR_TYPE_PRESSURE) {
        event->pressure = parent_->readPressure() / 100;
    } else {
        event->temperature = parent_->readTemperature();
    }
    return true;
}

void Adafruit_BMP280_Value::getSensor(sensor_t *sensor) {
    if (type_ == SENSOR_TYPE_PRESSURE) {
        microclaw_fill(sensor, "BMP280", type_, 300, 1100, 0.012f);
    } else {
        microclaw_fill(sensor, "BMP280", type_, -40, 85, 0.01f);
    }
}

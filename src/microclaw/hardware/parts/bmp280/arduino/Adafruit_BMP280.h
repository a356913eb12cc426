/* Adafruit_BMP280.h: the sensor on I2C, by the reading of microclaw.h; our own code behind the names of the library. */
#pragma once
#include <Adafruit_Sensor.h>
#include <Wire.h>
#include <arduino/pin_arguments.h>
#define BMP280_ADDRESS 0x77
#define BMP280_ADDRESS_ALT 0x76
#define BMP280_CHIPID 0x58
class Adafruit_BMP280;
/* One of its two values as an Adafruit_Sensor. */
class Adafruit_BMP280_Value final : public Adafruit_Sensor {
  public:
    Adafruit_BMP280_Value(Adafruit_BMP280 *parent, sensors_type_t type) : parent_(parent), type_(type) {}
    bool getEvent(sensors_event_t *event) override;
    void getSensor(sensor_t *sensor) override;

  private:
    Adafruit_BMP280 *parent_;
    sensors_type_t type_;
};
class Adafruit_BMP280 {
  public:
    enum sensor_sampling { SAMPLING_NONE, SAMPLING_X1, SAMPLING_X2, SAMPLING_X4, SAMPLING_X8, SAMPLING_X16 };
    enum sensor_mode { MODE_SLEEP = 0, MODE_FORCED = 1, MODE_NORMAL = 3, MODE_SOFT_RESET_CODE = 0xb6 };
    enum sensor_filter { FILTER_OFF, FILTER_X2, FILTER_X4, FILTER_X8, FILTER_X16 };
    enum standby_duration {
        STANDBY_MS_1,
        STANDBY_MS_63,
        STANDBY_MS_125,
        STANDBY_MS_250,
        STANDBY_MS_500,
        STANDBY_MS_1000,
        STANDBY_MS_2000,
        STANDBY_MS_4000
    };
    Adafruit_BMP280(TwoWire * = &Wire) {}
    __attribute__((unavailable("the BMP280 is driven over I2C here, not over SPI"))) Adafruit_BMP280(int cs, ...);
    /* Here, as only the program knows its board's pins. */
    bool begin(uint8_t address = BMP280_ADDRESS, uint8_t chip_id = BMP280_CHIPID) MICROCLAW_I2C_PINS {
        return start(microclaw_board_i2c(), address, chip_id);
    }
    /* Each measurement is one with single sampling and without a filter. */
    void setSampling(sensor_mode = MODE_NORMAL, sensor_sampling = SAMPLING_X16, sensor_sampling = SAMPLING_X16,
                     sensor_filter = FILTER_OFF, standby_duration = STANDBY_MS_1) {}
    bool takeForcedMeasurement();
    float readTemperature(); /* degrees Celsius; NAN if nothing answers, as all of them */
    float readPressure();    /* Pa */
    float readAltitude(float sea_level_hpa = 1013.25f);
    float seaLevelForAltitude(float altitude_m, float pressure_hpa);
    float waterBoilingPoint(float pressure_hpa);
    uint8_t sensorID();
    uint8_t getStatus() { return 0; } /* nothing is measured between the readings */
    void reset() {}
    Adafruit_Sensor *getTemperatureSensor() { return &temperature_; }
    Adafruit_Sensor *getPressureSensor() { return &pressure_; }

  private:
    bool start(int i2c, uint8_t address, uint8_t chip_id);
    int i2c_ = -1;
    uint8_t address_ = BMP280_ADDRESS;
    Adafruit_BMP280_Value temperature_{this, SENSOR_TYPE_AMBIENT_TEMPERATURE}, pressure_{this, SENSOR_TYPE_PRESSURE};
};

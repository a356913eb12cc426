/* Adafruit_BME280.h: the sensor on I2C, by the reading of microclaw.h; our own code behind the names of the library. */
#pragma once
#include <Adafruit_Sensor.h>
#include <Wire.h>
#include <arduino/pin_arguments.h>
#define BME280_ADDRESS 0x77
#define BME280_ADDRESS_ALTERNATE 0x76
class Adafruit_BME280;
/* One of its three values as an Adafruit_Sensor. */
class Adafruit_BME280_Value final : public Adafruit_Sensor {
  public:
    Adafruit_BME280_Value(Adafruit_BME280 *parent, sensors_type_t type) : parent_(parent), type_(type) {}
    bool getEvent(sensors_event_t *event) override;
    void getSensor(sensor_t *sensor) override;

  private:
    Adafruit_BME280 *parent_;
    sensors_type_t type_;
};
class Adafruit_BME280 {
  public:
    enum sensor_sampling { SAMPLING_NONE, SAMPLING_X1, SAMPLING_X2, SAMPLING_X4, SAMPLING_X8, SAMPLING_X16 };
    enum sensor_mode { MODE_SLEEP = 0, MODE_FORCED = 1, MODE_NORMAL = 3 };
    enum sensor_filter { FILTER_OFF, FILTER_X2, FILTER_X4, FILTER_X8, FILTER_X16 };
    enum standby_duration {
        STANDBY_MS_0_5,
        STANDBY_MS_62_5,
        STANDBY_MS_125,
        STANDBY_MS_250,
        STANDBY_MS_500,
        STANDBY_MS_1000,
        STANDBY_MS_10,
        STANDBY_MS_20
    };
    Adafruit_BME280() {}
    __attribute__((unavailable("the BME280 is driven over I2C here, not over SPI"))) Adafruit_BME280(int cs, ...);
    /* Here, as only the program knows its board's pins. */
    bool begin(uint8_t address = BME280_ADDRESS, TwoWire * = &Wire) MICROCLAW_I2C_PINS {
        return start(microclaw_board_i2c(), address);
    }
    bool init() { return start(i2c_, address_); }
    /* Only the mode matters: each measurement is one with single sampling and without a filter. */
    void setSampling(sensor_mode mode = MODE_NORMAL, sensor_sampling = SAMPLING_X16, sensor_sampling = SAMPLING_X16,
                     sensor_sampling = SAMPLING_X16, sensor_filter = FILTER_OFF, standby_duration = STANDBY_MS_0_5) {
        mode_ = mode;
    }
    bool takeForcedMeasurement();
    float readTemperature(); /* degrees Celsius; NAN if nothing answers, as all of them */
    float readPressure();    /* Pa */
    float readHumidity();    /* percent */
    float readAltitude(float sea_level_hpa);
    float seaLevelForAltitude(float altitude_m, float pressure_hpa);
    uint32_t sensorID();
    float getTemperatureCompensation() { return compensation_; }
    void setTemperatureCompensation(float degrees) { compensation_ = degrees; }
    Adafruit_Sensor *getTemperatureSensor() { return &temperature_; }
    Adafruit_Sensor *getPressureSensor() { return &pressure_; }
    Adafruit_Sensor *getHumiditySensor() { return &humidity_; }

  private:
    bool start(int i2c, uint8_t address);
    void refresh();
    int i2c_ = -1;
    uint8_t address_ = BME280_ADDRESS;
    sensor_mode mode_ = MODE_NORMAL;
    bool measured_ = false;
    unsigned measured_ms_ = 0;
    float compensation_ = 0, celsius_ = NAN, percent_ = NAN, hpa_ = NAN;
    Adafruit_BME280_Value temperature_{this, SENSOR_TYPE_AMBIENT_TEMPERATURE}, pressure_{this, SENSOR_TYPE_PRESSURE},
        humidity_{this, SENSOR_TYPE_RELATIVE_HUMIDITY};
};

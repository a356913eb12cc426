/* Adafruit_Sensor.h: the form in which Adafruit's libraries hand out events of sensors; our own code behind their names. */
#pragma once
#include <Arduino.h>
#define SENSORS_GRAVITY_EARTH (9.80665F)
#define SENSORS_GRAVITY_STANDARD (SENSORS_GRAVITY_EARTH)
#define SENSORS_PRESSURE_SEALEVELHPA (1013.25F)
#define SENSORS_DPS_TO_RADS (0.017453293F)
#define SENSORS_RADS_TO_DPS (57.29577793F)
typedef enum {
    SENSOR_TYPE_ACCELEROMETER = 1,
    SENSOR_TYPE_MAGNETIC_FIELD = 2,
    SENSOR_TYPE_GYROSCOPE = 4,
    SENSOR_TYPE_LIGHT = 5,
    SENSOR_TYPE_PRESSURE = 6,
    SENSOR_TYPE_RELATIVE_HUMIDITY = 12,
    SENSOR_TYPE_AMBIENT_TEMPERATURE = 13,
    SENSOR_TYPE_VOLTAGE = 15,
    SENSOR_TYPE_CURRENT = 16
} sensors_type_t;
typedef union {
    float v[3];
    struct {
        float x, y, z;
    };
} sensors_vec_t;
typedef struct {
    int32_t version, sensor_id, type, reserved0, timestamp; /* the time in ms */
    union {
        float data[4];
        sensors_vec_t acceleration, gyro, magnetic; /* m/s2, rad/s, uT */
        float temperature;                          /* degrees Celsius */
        float light, pressure, relative_humidity;   /* lux, hPa, percent */
        float current, voltage;                     /* mA, V */
    };
} sensors_event_t;
typedef struct {
    char name[12];
    int32_t version, sensor_id, type;
    float max_value, min_value, resolution;
    int32_t min_delay;
} sensor_t;
class Adafruit_Sensor {
  public:
    virtual bool getEvent(sensors_event_t *event) = 0;
    virtual void getSensor(sensor_t *sensor) = 0;
    virtual void enableAutoRange(bool) {}
};
/* For the libraries: an event of one value, and what a sensor is. */
inline void microclaw_fill(sensors_event_t *event, sensors_type_t type, int32_t id) {
    memset(event, 0, sizeof *event);
    event->version = (int32_t)sizeof *event;
    event->sensor_id = id;
    event->type = type;
    event->timestamp = (int32_t)millis();
}
inline void microclaw_fill(sensor_t *sensor, const char *name, sensors_type_t type, float least, float most, float step) {
    memset(sensor, 0, sizeof *sensor);
    strncpy(sensor->name, name, sizeof sensor->name - 1);
    sensor->version = 1;
    sensor->type = type;
    sensor->min_value = least;
    sensor->max_value = most;
    sensor->resolution = step;
}

/* Adafruit_BMP085.h: the BMP180 (and BMP085) by the reading of microclaw.h; our own code behind the library's names. */
#pragma once
#include <Wire.h>
#include <arduino/pin_arguments.h>
#define BMP085_ULTRALOWPOWER 0
#define BMP085_STANDARD 1
#define BMP085_HIGHRES 2
#define BMP085_ULTRAHIGHRES 3
class Adafruit_BMP085 {
  public:
    /* Here, as only the program knows its board's pins. Each measurement is one without oversampling. */
    bool begin(uint8_t = BMP085_ULTRAHIGHRES, TwoWire * = &Wire) MICROCLAW_I2C_PINS { return start(microclaw_board_i2c()); }
    float readTemperature(); /* degrees Celsius; NAN if nothing answers */
    int32_t readPressure();  /* Pa; 0 if nothing answers */
    int32_t readSealevelPressure(float altitude_m = 0);
    float readAltitude(float sea_level_pa = 101325);

  private:
    bool start(int i2c);
    int i2c_ = -1;
};

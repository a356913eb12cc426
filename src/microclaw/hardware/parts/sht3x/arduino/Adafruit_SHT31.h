/* Adafruit_SHT31.h: the sensor by the reading of microclaw.h; our own code behind the names of the library. */
#pragma once
#include <Wire.h>
#include <arduino/pin_arguments.h>
#define SHT31_DEFAULT_ADDR 0x44
class Adafruit_SHT31 {
  public:
    Adafruit_SHT31(TwoWire * = &Wire) {}
    /* Here, as only the program knows its board's pins. */
    bool begin(uint8_t address = SHT31_DEFAULT_ADDR) MICROCLAW_I2C_PINS {
        return microclaw_begin_wire(&Wire) && start(microclaw_board_i2c(), address);
    }
    float readTemperature(); /* degrees Celsius; NAN if nothing answers, as all of them */
    float readHumidity();    /* percent */
    bool readBoth(float *celsius, float *percent);
    uint16_t readStatus(); /* 0xffff if nothing answers */
    void reset();
    void heater(bool on);
    bool isHeaterEnabled();

  private:
    bool start(int i2c, uint8_t address);
    bool command(uint16_t command);
    int i2c_ = -1;
    uint8_t address_ = SHT31_DEFAULT_ADDR;
};

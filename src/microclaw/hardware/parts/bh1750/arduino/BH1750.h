/* BH1750.h: the light sensor through Wire; our own code behind the names of the library. */
#pragma once
#include <Wire.h>
#include <arduino/pin_arguments.h>
class BH1750 {
  public:
    enum Mode {
        UNCONFIGURED = 0,
        CONTINUOUS_HIGH_RES_MODE = 0x10,
        CONTINUOUS_HIGH_RES_MODE_2 = 0x11,
        CONTINUOUS_LOW_RES_MODE = 0x13,
        ONE_TIME_HIGH_RES_MODE = 0x20,
        ONE_TIME_HIGH_RES_MODE_2 = 0x21,
        ONE_TIME_LOW_RES_MODE = 0x23
    };
    BH1750(uint8_t address = 0x23) : address_(address) {}
    /* Here, as only the program knows its board's pins. */
    bool begin(Mode mode = CONTINUOUS_HIGH_RES_MODE, uint8_t address = 0, TwoWire *wire = &Wire) MICROCLAW_I2C_PINS {
        address_ = address ? address : address_;
        return microclaw_begin_wire(wire) && configure(mode);
    }
    bool configure(Mode mode);
    bool setMTreg(uint8_t time); /* 31 to 254; 69 is usual */
    bool measurementReady(bool longest = false);
    float readLightLevel(); /* lux; -1 if nothing answers, -2 before begin */

  private:
    bool send(uint8_t instruction);
    unsigned measureMs(bool longest) const;
    uint8_t address_, time_ = 69;
    Mode mode_ = UNCONFIGURED;
    unsigned long began_ms_ = 0;
};

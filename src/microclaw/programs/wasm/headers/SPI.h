/* SPI.h: the bus of /dev/spi/1 as the master, on firmware that has it: stock builds do not. It is opened at the first transfer,
 * so that a program which only includes this, for a display on I2C, needs none. */
#pragma once
#include <Arduino.h>
#include <arduino/pin_arguments.h>
#define SPI_HAS_TRANSACTION
#define SPI_LSBFIRST LSBFIRST
#define SPI_MSBFIRST MSBFIRST
#define SPI_MODE0 0
#define SPI_MODE1 1
#define SPI_MODE2 2
#define SPI_MODE3 3
#define FSPI 0
#define HSPI 1
#define VSPI 2
#ifdef BOARD_SPI_SCK
#define DEFAULT_(pin) = pin
#else
#define DEFAULT_(pin)
#endif
class SPISettings {
  public:
    constexpr SPISettings(uint32_t clock_hz = 1000000, uint8_t order = MSBFIRST, uint8_t mode = SPI_MODE0)
        : clock_hz_(clock_hz), order_(order), mode_(mode) {}

  private:
    friend class SPIClass;
    uint32_t clock_hz_;
    uint8_t order_, mode_;
};
class SPIClass {
  public:
    constexpr SPIClass(uint8_t = FSPI) {} /* it is the same bus whatever is asked for */
    /* The bus itself pulls ss down for each transfer: give it the chip's CS pin. */
    void begin(int sck DEFAULT_(BOARD_SPI_SCK), int miso DEFAULT_(BOARD_SPI_MISO), int mosi DEFAULT_(BOARD_SPI_MOSI),
               int ss DEFAULT_(BOARD_SPI_SS))
        MICROCLAW_INPUT_PIN(sck) MICROCLAW_INPUT_PIN(miso) MICROCLAW_INPUT_PIN(mosi);
    void end();
    int pinSS() { return ss_; } /* -1 before begin() */
    void beginTransaction(SPISettings settings);
    void endTransaction() {}
    void setFrequency(uint32_t clock_hz) { beginTransaction(SPISettings(clock_hz, settings_.order_, settings_.mode_)); }
    void setBitOrder(uint8_t order) { beginTransaction(SPISettings(settings_.clock_hz_, order, settings_.mode_)); }
    void setDataMode(uint8_t mode) { beginTransaction(SPISettings(settings_.clock_hz_, settings_.order_, mode)); }
    uint8_t transfer(uint8_t value);
    uint16_t transfer16(uint16_t value);
    uint32_t transfer32(uint32_t value);
    void transfer(void *data, size_t size) { transferBytes((const uint8_t *)data, (uint8_t *)data, (uint32_t)size); }
    void transferBytes(const uint8_t *data, uint8_t *out, uint32_t size); /* out may be NULL */
    void writeBytes(const uint8_t *data, uint32_t size) { transferBytes(data, nullptr, size); }
    void write(uint8_t value) { transfer(value); }
    void write16(uint16_t value) { transfer16(value); }
    void write32(uint32_t value) { transfer32(value); }
    void writePixels(const void *pixels, uint32_t size); /* colors of 16 bits, each with its high byte first */
    void writePattern(const uint8_t *data, uint8_t size, uint32_t repeat);
    void setHwCs(bool) {} /* the bus always does */

  private:
    bool open();
    int fd_ = -1, sck_ = -1, miso_ = -1, mosi_ = -1, ss_ = -1;
    bool failed_ = false;
    SPISettings settings_;
};
extern SPIClass SPI;
#undef DEFAULT_

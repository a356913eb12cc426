/* Wire.h: the board's I2C bus, as the master. There is one: other objects stand for the same bus, and its pins are those with which
 * it was opened first. */
#pragma once
#include <Arduino.h>
#ifdef BOARD_I2C_SDA
#define DEFAULT_(pin) = pin
#else
#define DEFAULT_(pin)
#endif
#define MARK_(condition, text) __attribute__((diagnose_if(condition, "microclaw mark " text, "warning")))
#define PIN_MARKS_(p, what) \
    MARK_((p) == (p), what " known") MARK_((p) < 0 || (p) > 63, what " outside") \
    MARK_((p) & 1, what " 1") MARK_((p) & 2, what " 2") MARK_((p) & 4, what " 4") \
    MARK_((p) & 8, what " 8") MARK_((p) & 16, what " 16") MARK_((p) & 32, what " 32")
class TwoWire final : public Stream {
  public:
    using Print::write;
    constexpr TwoWire(uint8_t = 0) {}
    /* 100 kHz without a frequency; up to 1 MHz. */
    bool begin(int sda DEFAULT_(BOARD_I2C_SDA), int scl DEFAULT_(BOARD_I2C_SCL), unsigned long frequency_hz = 0)
        PIN_MARKS_(sda, "sda") PIN_MARKS_(scl, "scl");
    bool setPins(int sda, int scl) PIN_MARKS_(sda, "sda") PIN_MARKS_(scl, "scl"); /* instead of begin's: it opens the bus */
    void end() {}
    bool setClock(unsigned long frequency_hz); /* after begin */
    uint32_t getClock() const;
    /* The firmware ends a transfer by itself, and the buffers have 128 bytes each. */
    void setTimeOut(uint16_t ms) { time_out_ms_ = ms; }
    uint16_t getTimeOut() const { return time_out_ms_; }
    size_t setBufferSize(size_t size) { return size > sizeof out_ ? 0 : sizeof out_; }
    void flush() override { received_ = taken_ = sent_ = 0; }
    void beginTransmission(int address);
    size_t write(uint8_t c) override;
    size_t write(const uint8_t *bytes, size_t size) override;
    /* 0: done, 1: more than 128 bytes, 2: nobody answers. Without bytes it only asks whether somebody does. */
    uint8_t endTransmission(bool stop = true);
    uint8_t requestFrom(int address, int size, bool stop = true); /* how many bytes came: all, or 0 */
    int available() override { return received_ - taken_; }
    int read() override { return taken_ < received_ ? buffer_[taken_++] : -1; }
    int peek() override { return taken_ < received_ ? buffer_[taken_] : -1; }
    size_t readBytes(uint8_t *out, size_t size) override;
    size_t readBytes(char *out, size_t size) override { return readBytes((uint8_t *)out, size); }

  private:
    int address_ = 0, sent_ = 0, received_ = 0, taken_ = 0;
    bool open_ = false, pending_ = false, too_many_ = false;
    uint16_t time_out_ms_ = 50;
    uint8_t out_[128] = {}, buffer_[128] = {};
};
#define WIRE_HAS_BUFFER_SIZE 1
#define WIRE_HAS_END 1
#define I2C_BUFFER_LENGTH 128
extern TwoWire Wire, Wire1;
#undef DEFAULT_
#undef MARK_
#undef PIN_MARKS_

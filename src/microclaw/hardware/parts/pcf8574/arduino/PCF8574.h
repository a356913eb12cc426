/* PCF8574.h: eight pins on I2C, under the names of the two libraries that have this header; our own code. */
#pragma once
#include <Wire.h>
#include <arduino/pin_arguments.h>
#define P0 0
#define P1 1
#define P2 2
#define P3 3
#define P4 4
#define P5 5
#define P6 6
#define P7 7
#define PCF8574_OK 0x00
#define PCF8574_PIN_ERROR 0x81
#define PCF8574_I2C_ERROR 0x82
#define PCF8574_INITIAL_VALUE 0xff
class PCF8574 {
  public:
    struct DigitalInput {
        uint8_t p0, p1, p2, p3, p4, p5, p6, p7;
    };
    explicit PCF8574(uint8_t address = 0x20, TwoWire * = &Wire) : address_(address) {}
    /* Here, as only the program knows its board's pins. */
    bool begin(uint8_t value = PCF8574_INITIAL_VALUE) MICROCLAW_I2C_PINS {
        return microclaw_begin_wire(&Wire) && start(value);
    }
    bool isConnected();
    uint8_t getAddress() const { return address_; }
    bool setAddress(uint8_t address);

    /* As one library has them. */
    uint8_t read8();
    uint8_t read(uint8_t pin) { return read8() >> (pin & 7) & 1; }
    uint8_t value() const { return in_; }
    void write8(uint8_t value);
    void write(uint8_t pin, uint8_t level);
    uint8_t valueOut() const { return out_; }
    void setButtonMask(uint8_t mask) { buttons_ = mask; }
    uint8_t getButtonMask() const { return buttons_; }
    uint8_t readButton8() { return readButton8(buttons_); }
    uint8_t readButton8(uint8_t mask); /* 0: pressed */
    uint8_t readButton(uint8_t pin) { return readButton8((uint8_t)(1 << (pin & 7))) >> (pin & 7) & 1; }
    void toggle(uint8_t pin) { write8((uint8_t)(out_ ^ 1 << (pin & 7))); }
    void toggleMask(uint8_t mask = 0xff) { write8(out_ ^ mask); }
    void shiftLeft(uint8_t count = 1) { write8((uint8_t)(out_ << count)); }
    void shiftRight(uint8_t count = 1) { write8((uint8_t)(out_ >> count)); }
    void rotateLeft(uint8_t count = 1) { write8((uint8_t)(out_ << (count & 7) | out_ >> (8 - (count & 7)))); }
    void rotateRight(uint8_t count = 1) { rotateLeft((uint8_t)(8 - (count & 7))); }
    void select(uint8_t pin) { write8((uint8_t)(1 << (pin & 7))); }
    void selectNone() { write8(0x00); }
    void selectAll() { write8(0xff); }
    int lastError(); /* and then there is none */

    /* As the other one has them. */
    void pinMode(uint8_t pin, uint8_t mode, uint8_t level = HIGH);
    uint8_t digitalRead(uint8_t pin) { return read(pin); }
    bool digitalWrite(uint8_t pin, uint8_t level);
    DigitalInput digitalReadAll();
    bool digitalWriteAll(DigitalInput levels);

  private:
    bool start(uint8_t value);
    uint8_t address_, out_ = 0xff, in_ = 0xff, buttons_ = 0xff, low_ = 0;
    int error_ = PCF8574_OK;
};

/* TM1637Display.h: a display of four digits on two pins; our own code behind the names of the library. */
#pragma once
#include <Arduino.h>
#include <arduino/pin_arguments.h>
#define SEG_A 0x01
#define SEG_B 0x02
#define SEG_C 0x04
#define SEG_D 0x08
#define SEG_E 0x10
#define SEG_F 0x20
#define SEG_G 0x40
#define SEG_DP 0x80
#define DEFAULT_BIT_DELAY 100
class TM1637Display {
  public:
    TM1637Display(uint8_t clk, uint8_t dio, unsigned int bit_delay_us = DEFAULT_BIT_DELAY)
        MICROCLAW_OUTPUT_PIN(clk) MICROCLAW_OUTPUT_PIN(dio);
    void setBrightness(uint8_t brightness, bool on = true); /* 0 to 7, from the next segments on */
    void setSegments(const uint8_t segments[], uint8_t length = 4, uint8_t pos = 0);
    void clear();
    void showNumberDec(int num, bool leading_zero = false, uint8_t length = 4, uint8_t pos = 0);
    /* Bit 7 of `dots` is the dot or colon of the first digit, bit 6 that of the second. */
    void showNumberDecEx(int num, uint8_t dots = 0, bool leading_zero = false, uint8_t length = 4, uint8_t pos = 0);
    void showNumberHexEx(uint16_t num, uint8_t dots = 0, bool leading_zero = false, uint8_t length = 4, uint8_t pos = 0);
    static uint8_t encodeDigit(uint8_t digit);

  private:
    void show(uint32_t number, unsigned base, bool is_negative, uint8_t dots, bool leading_zero, uint8_t length, uint8_t pos);
    void transfer(uint8_t command, const uint8_t *data, uint8_t size);
    void send(uint8_t byte);
    void set(int pin, int level);
    int clk_, dio_;
    unsigned int bit_delay_us_;
    uint8_t control_ = 0x8f;
};

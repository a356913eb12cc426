/* LiquidCrystal.h: character displays on pins, with 4 or 8 data wires; our own code behind the names of the library. */
#pragma once
#include <arduino/pin_arguments.h>
#include <microclaw_lcd.h>
#define MICROCLAW_LCD_HALF \
    MICROCLAW_OUTPUT_PIN(rs) MICROCLAW_OUTPUT_PIN(e) MICROCLAW_OUTPUT_PIN(d4) MICROCLAW_OUTPUT_PIN(d5) \
    MICROCLAW_OUTPUT_PIN(d6) MICROCLAW_OUTPUT_PIN(d7)
#define MICROCLAW_LCD_WHOLE \
    MICROCLAW_LCD_HALF MICROCLAW_OUTPUT_PIN(d0) MICROCLAW_OUTPUT_PIN(d1) MICROCLAW_OUTPUT_PIN(d2) MICROCLAW_OUTPUT_PIN(d3)
class LiquidCrystal : public Microclaw_Lcd {
  public:
    LiquidCrystal(uint8_t rs, uint8_t e, uint8_t d4, uint8_t d5, uint8_t d6, uint8_t d7) MICROCLAW_LCD_HALF
        : LiquidCrystal(NO_PIN, rs, e, 4, d4, d5, d6, d7, 0, 0, 0, 0) {}
    LiquidCrystal(uint8_t rs, uint8_t rw, uint8_t e, uint8_t d4, uint8_t d5, uint8_t d6, uint8_t d7)
        MICROCLAW_LCD_HALF MICROCLAW_OUTPUT_PIN(rw)
        : LiquidCrystal(rw, rs, e, 4, d4, d5, d6, d7, 0, 0, 0, 0) {}
    LiquidCrystal(uint8_t rs, uint8_t e, uint8_t d0, uint8_t d1, uint8_t d2, uint8_t d3, uint8_t d4, uint8_t d5, uint8_t d6,
                  uint8_t d7) MICROCLAW_LCD_WHOLE
        : LiquidCrystal(NO_PIN, rs, e, 8, d0, d1, d2, d3, d4, d5, d6, d7) {}
    LiquidCrystal(uint8_t rs, uint8_t rw, uint8_t e, uint8_t d0, uint8_t d1, uint8_t d2, uint8_t d3, uint8_t d4, uint8_t d5,
                  uint8_t d6, uint8_t d7) MICROCLAW_LCD_WHOLE MICROCLAW_OUTPUT_PIN(rw)
        : LiquidCrystal((int)rw, rs, e, 8, d0, d1, d2, d3, d4, d5, d6, d7) {}
    void begin(uint8_t columns, uint8_t rows, uint8_t font = LCD_5x8DOTS)
        MICROCLAW_ATTRIBUTE(columns) MICROCLAW_ATTRIBUTE(rows);

  protected:
    void send(uint8_t byte, bool is_data) override;
    void send_first(uint8_t byte) override;

  private:
    enum : int { NO_PIN = -1 };
    LiquidCrystal(int rw, uint8_t rs, uint8_t e, int data_count, uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint8_t e4,
                  uint8_t f, uint8_t g, uint8_t h)
        : rw_(rw), rs_(rs), e_(e), data_count_(data_count), data_{a, b, c, d, e4, f, g, h} {}
    void put(uint8_t bits); /* the lowest bit on the first data wire */
    int rw_;
    uint8_t rs_, e_;
    int data_count_;
    uint8_t data_[8];
};
#undef MICROCLAW_LCD_HALF
#undef MICROCLAW_LCD_WHOLE

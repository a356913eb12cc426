/* LiquidCrystal_I2C.h: character displays behind a PCF8574 on I2C; our own code behind the names of the library. */
#pragma once
#include <Wire.h>
#include <arduino/pin_arguments.h>
#include <microclaw_lcd.h>
#define LCD_BACKLIGHT 0x08
#define LCD_NOBACKLIGHT 0x00
class LiquidCrystal_I2C : public Microclaw_Lcd {
  public:
    LiquidCrystal_I2C(uint8_t address, uint8_t columns, uint8_t rows, uint8_t font = LCD_5x8DOTS)
        MICROCLAW_ATTRIBUTE(columns) MICROCLAW_ATTRIBUTE(rows)
        : address_(address), font_(font) {
        set_size(columns, rows);
    }
    /* Here, as only the program knows its board's pins. */
    void init() MICROCLAW_I2C_PINS {
        microclaw_begin_wire(&Wire);
        restart_display();
    }
    void begin() MICROCLAW_I2C_PINS {
        microclaw_begin_wire(&Wire);
        restart_display();
    }
    void begin(uint8_t columns, uint8_t rows, uint8_t font = LCD_5x8DOTS)
        MICROCLAW_ATTRIBUTE(columns) MICROCLAW_ATTRIBUTE(rows) MICROCLAW_I2C_PINS {
        microclaw_begin_wire(&Wire);
        start_display(columns, rows, font);
    }
    void backlight() { setBacklight(1); }
    void noBacklight() { setBacklight(0); }
    void setBacklight(uint8_t is_on);
    bool getBacklight() const { return light_ == LCD_BACKLIGHT; }
    void blink_on() { blink(); }
    void blink_off() { noBlink(); }
    void cursor_on() { cursor(); }
    void cursor_off() { noCursor(); }
    void load_custom_character(uint8_t number, uint8_t *rows) { createChar(number, rows); }
    void printstr(const char *text) { print(text); }

  protected:
    void send(uint8_t byte, bool is_data) override;
    void send_first(uint8_t byte) override;
    void start_display(uint8_t columns, uint8_t rows, uint8_t font);
    bool find(); /* False if nothing answers; an address of 0 becomes that of the one that does. */

  private:
    void restart_display();
    uint8_t address_, font_, light_ = LCD_NOBACKLIGHT;
};

/* hd44780.h: character displays behind a PCF8574 on I2C, under the names of the library that finds its display itself. begin()
 * is 0, or an error below 0. */
#pragma once
#include <LiquidCrystal_I2C.h>
#define hd44780_RV_ENOERR 0
#define hd44780_RV_ENXIO (-2)
class hd44780_I2Cexp : public LiquidCrystal_I2C {
  public:
    explicit hd44780_I2Cexp(uint8_t address = 0) : LiquidCrystal_I2C(address, 16, 2, LCD_5x8DOTS) {}
    int begin(uint8_t columns, uint8_t rows, uint8_t font = LCD_5x8DOTS)
        MICROCLAW_ATTRIBUTE(columns) MICROCLAW_ATTRIBUTE(rows) MICROCLAW_I2C_PINS {
        microclaw_begin_wire(&Wire);
        if (!find()) {
            return hd44780_RV_ENXIO;
        }
        start_display(columns, rows, font);
        backlight();
        return hd44780_RV_ENOERR;
    }
    int on() {
        display();
        backlight();
        return hd44780_RV_ENOERR;
    }
    int off() {
        noBacklight();
        noDisplay();
        return hd44780_RV_ENOERR;
    }
};

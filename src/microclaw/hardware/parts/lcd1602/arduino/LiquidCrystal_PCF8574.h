/* LiquidCrystal_PCF8574.h: the displays of LiquidCrystal_I2C.h under the names of another library; their size is that of begin(). */
#pragma once
#include <LiquidCrystal_I2C.h>
class LiquidCrystal_PCF8574 : public LiquidCrystal_I2C {
  public:
    explicit LiquidCrystal_PCF8574(uint8_t address) : LiquidCrystal_I2C(address, 16, 2, LCD_5x8DOTS) {}
};

#include <LiquidCrystal.h>
#include <LiquidCrystal_I2C.h>
#include <screen_characters.h>
#include <screen_lcd1602.h>
#include <screen_lcd2004.h>

class LcdScreen : public ScreenCharacters {
  public:
    LcdScreen(Microclaw_Lcd *lcd, int columns, int rows) : ScreenCharacters(columns, rows), lcd_(lcd) {}

  protected:
    void write_row(int row, const char *text) override {
        lcd_->setCursor(0, (uint8_t)row);
        for (; *text; text++) {
            lcd_->write((uint8_t)*text);
        }
    }
    void define(int code, const uint8_t *rows) override { lcd_->createChar((uint8_t)code, rows); }

  private:
    Microclaw_Lcd *lcd_;
};

int screen_lcd1602(int sda, int scl, int columns, int rows, int address) {
    bool is_there = Wire.begin(sda, scl);
    Wire.beginTransmission(address);
    if (!is_there || Wire.endTransmission() != 0) {
        printf("screen_lcd1602: nothing answers at 0x%02x\n", address);
        return -1;
    }
    LiquidCrystal_I2C *lcd = new LiquidCrystal_I2C((uint8_t)address, (uint8_t)columns, (uint8_t)rows);
    lcd->init();
    lcd->backlight();
    return microclaw_add_screen(new LcdScreen(lcd, columns, rows));
}

int screen_lcd1602_pins(int rs, int e, int d4, int d5, int d6, int d7, int columns, int rows) {
    LiquidCrystal *lcd = new LiquidCrystal((uint8_t)rs, (uint8_t)e, (uint8_t)d4, (uint8_t)d5, (uint8_t)d6, (uint8_t)d7);
    lcd->begin((uint8_t)columns, (uint8_t)rows);
    return microclaw_add_screen(new LcdScreen(lcd, columns, rows));
}

int screen_lcd2004(int sda, int scl, int columns, int rows, int address) {
    return screen_lcd1602(sda, scl, columns, rows, address);
}

int screen_lcd2004_pins(int rs, int e, int d4, int d5, int d6, int d7, int columns, int rows) {
    return screen_lcd1602_pins(rs, e, d4, d5, d6, d7, columns, rows);
}

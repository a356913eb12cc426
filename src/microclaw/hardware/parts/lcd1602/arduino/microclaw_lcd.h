/* microclaw_lcd.h: what the libraries of character displays have in common (HD44780U). How a byte gets there is a subclass's. */
#pragma once
#include <Arduino.h>
#define LCD_CLEARDISPLAY 0x01
#define LCD_RETURNHOME 0x02
#define LCD_ENTRYMODESET 0x04
#define LCD_DISPLAYCONTROL 0x08
#define LCD_CURSORSHIFT 0x10
#define LCD_FUNCTIONSET 0x20
#define LCD_SETCGRAMADDR 0x40
#define LCD_SETDDRAMADDR 0x80
#define LCD_ENTRYRIGHT 0x00
#define LCD_ENTRYLEFT 0x02
#define LCD_ENTRYSHIFTINCREMENT 0x01
#define LCD_ENTRYSHIFTDECREMENT 0x00
#define LCD_DISPLAYON 0x04
#define LCD_DISPLAYOFF 0x00
#define LCD_CURSORON 0x02
#define LCD_CURSOROFF 0x00
#define LCD_BLINKON 0x01
#define LCD_BLINKOFF 0x00
#define LCD_DISPLAYMOVE 0x08
#define LCD_CURSORMOVE 0x00
#define LCD_MOVERIGHT 0x04
#define LCD_MOVELEFT 0x00
#define LCD_8BITMODE 0x10
#define LCD_4BITMODE 0x00
#define LCD_2LINE 0x08
#define LCD_1LINE 0x00
#define LCD_5x10DOTS 0x04
#define LCD_5x8DOTS 0x00
class Microclaw_Lcd : public Print {
  public:
    using Print::write;
    size_t write(uint8_t code) override {
        send(code, true);
        return 1;
    }
    void command(uint8_t byte) { send(byte, false); }
    void clear();
    void home();
    void setCursor(uint8_t column, uint8_t row); /* from 0; a row that is not there is the last one */
    void setRowOffsets(int first, int second, int third, int fourth);
    void display() { set_flag(LCD_DISPLAYON, true); }
    void noDisplay() { set_flag(LCD_DISPLAYON, false); }
    void cursor() { set_flag(LCD_CURSORON, true); }
    void noCursor() { set_flag(LCD_CURSORON, false); }
    void blink() { set_flag(LCD_BLINKON, true); }
    void noBlink() { set_flag(LCD_BLINKON, false); }
    void scrollDisplayLeft() { command(LCD_CURSORSHIFT | LCD_DISPLAYMOVE | LCD_MOVELEFT); }
    void scrollDisplayRight() { command(LCD_CURSORSHIFT | LCD_DISPLAYMOVE | LCD_MOVERIGHT); }
    void leftToRight() { set_mode(LCD_ENTRYLEFT, true); }
    void rightToLeft() { set_mode(LCD_ENTRYLEFT, false); }
    void autoscroll() { set_mode(LCD_ENTRYSHIFTINCREMENT, true); }
    void noAutoscroll() { set_mode(LCD_ENTRYSHIFTINCREMENT, false); }
    /* Defines one of the characters 0 to 7 by its eight rows of five bits. Then a program must set the cursor. */
    void createChar(uint8_t number, const uint8_t *rows);
    void createChar(uint8_t number, const char *rows) { createChar(number, (const uint8_t *)rows); }

  protected:
    virtual void send(uint8_t byte, bool is_data) = 0;
    /* Sends the upper four bits alone, or all eight if the display has eight wires. */
    virtual void send_first(uint8_t byte) = 0;
    void set_size(uint8_t columns, uint8_t rows);
    void start(uint8_t bus_mode, uint8_t font);

  private:
    void set_flag(uint8_t flag, bool is_on);
    void set_mode(uint8_t flag, bool is_on);
    uint8_t row_count_ = 1, flags_ = 0, mode_ = LCD_ENTRYLEFT;
    uint8_t row_begins_[4] = {0, 0x40, 16, 0x50};
};

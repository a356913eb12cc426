/* The commands of table 6, and the start of figures 23 and 24, of Hitachi's HD44780U. */
#include <microclaw_lcd.h>

void Microclaw_Lcd::clear() {
    command(LCD_CLEARDISPLAY);
    delayMicroseconds(2000);
}

void Microclaw_Lcd::home() {
    command(LCD_RETURNHOME);
    delayMicroseconds(2000);
}

void Microclaw_Lcd::setCursor(uint8_t column, uint8_t row) {
    if (row >= row_count_) {
        row = row_count_ - 1;
    }
    command((uint8_t)(LCD_SETDDRAMADDR | (column + row_begins_[row])));
}

void Microclaw_Lcd::setRowOffsets(int first, int second, int third, int fourth) {
    row_begins_[0] = (uint8_t)first;
    row_begins_[1] = (uint8_t)second;
    row_begins_[2] = (uint8_t)third;
    row_begins_[3] = (uint8_t)fourth;
}

void Microclaw_Lcd::createChar(uint8_t number, const uint8_t *rows) {
    command((uint8_t)(LCD_SETCGRAMADDR | (number & 7) << 3));
    for (int row = 0; row < 8; row++) {
        send(rows[row], true);
    }
}

void Microclaw_Lcd::set_size(uint8_t columns, uint8_t rows) {
    row_count_ = (uint8_t)(rows < 1 ? 1 : rows > 4 ? 4 : rows);
    setRowOffsets(0, 0x40, columns, 0x40 + columns);
}

/* The display understands three times 8 bits in every state. It is cleared before it is switched on. */
void Microclaw_Lcd::start(uint8_t bus_mode, uint8_t font) {
    delay(50);
    send_first(LCD_FUNCTIONSET | LCD_8BITMODE);
    delayMicroseconds(4500);
    send_first(LCD_FUNCTIONSET | LCD_8BITMODE);
    delayMicroseconds(4500);
    send_first(LCD_FUNCTIONSET | LCD_8BITMODE);
    delayMicroseconds(150);
    if (bus_mode == LCD_4BITMODE) {
        send_first(LCD_FUNCTIONSET | LCD_4BITMODE);
        delayMicroseconds(150);
    }
    uint8_t lines = row_count_ > 1 ? LCD_2LINE : LCD_1LINE;
    command((uint8_t)(LCD_FUNCTIONSET | bus_mode | lines | font));
    flags_ = 0;
    noDisplay();
    clear();
    mode_ = LCD_ENTRYLEFT;
    leftToRight();
    display();
}

void Microclaw_Lcd::set_flag(uint8_t flag, bool is_on) {
    flags_ = (uint8_t)(is_on ? flags_ | flag : flags_ & ~flag);
    command((uint8_t)(LCD_DISPLAYCONTROL | flags_));
}

void Microclaw_Lcd::set_mode(uint8_t flag, bool is_on) {
    mode_ = (uint8_t)(is_on ? mode_ | flag : mode_ & ~flag);
    command((uint8_t)(LCD_ENTRYMODESET | mode_));
}

/* The longest command but clear and home takes 37 us; a pulse of E needs 450 ns (table 6 and the timing of the HD44780U). */
#include <LiquidCrystal.h>

enum { EIGHT = 8 };

void LiquidCrystal::begin(uint8_t columns, uint8_t rows, uint8_t font) {
    pinMode(rs_, OUTPUT);
    pinMode(e_, OUTPUT);
    digitalWrite(rs_, LOW);
    digitalWrite(e_, LOW);
    if (rw_ >= 0) {
        pinMode(rw_, OUTPUT);
        digitalWrite(rw_, LOW);
    }
    for (int wire = 0; wire < data_count_; wire++) {
        pinMode(data_[wire], OUTPUT);
    }
    set_size(columns, rows);
    start(data_count_ == EIGHT ? LCD_8BITMODE : LCD_4BITMODE, font);
}

void LiquidCrystal::send(uint8_t byte, bool is_data) {
    digitalWrite(rs_, is_data ? HIGH : LOW);
    if (data_count_ == EIGHT) {
        put(byte);
    } else {
        put((uint8_t)(byte >> 4));
        put(byte & 0x0f);
    }
}

void LiquidCrystal::send_first(uint8_t byte) {
    digitalWrite(rs_, LOW);
    put(data_count_ == EIGHT ? byte : (uint8_t)(byte >> 4));
}

void LiquidCrystal::put(uint8_t bits) {
    for (int wire = 0; wire < data_count_; wire++) {
        digitalWrite(data_[wire], bits >> wire & 1);
    }
    digitalWrite(e_, LOW);
    delayMicroseconds(1);
    digitalWrite(e_, HIGH);
    delayMicroseconds(1);
    digitalWrite(e_, LOW);
    delayMicroseconds(100);
}

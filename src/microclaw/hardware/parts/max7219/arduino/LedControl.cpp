/* 16 bits for each chip of the chain, the farthest first (Maxim MAX7219: tables 2 to 10). */
#include <LedControl.h>

enum { DECODE_MODE = 0x9, INTENSITY = 0xa, SCAN_LIMIT = 0xb, SHUTDOWN = 0xc, DISPLAY_TEST = 0xf, POINT = 0x80, LAST_COLUMN = 7 };

/* Segments A (bit 6) to G (bit 0). */
static const byte digits[] = {0x7e, 0x30, 0x6d, 0x79, 0x33, 0x5b, 0x5f, 0x70, 0x7f, 0x7b, 0x77, 0x1f, 0x0d, 0x3d, 0x4f, 0x47};

static byte segments(char character) {
    if (character >= '0' && character <= '9') {
        return digits[character - '0'];
    }
    switch (character) {
    case 'A': case 'a': return digits[10];
    case 'B': case 'b': return digits[11];
    case 'C': case 'c': return digits[12];
    case 'D': case 'd': return digits[13];
    case 'E': case 'e': return digits[14];
    case 'F': case 'f': return digits[15];
    case 'H': case 'h': return 0x37;
    case 'L': case 'l': return 0x0e;
    case 'P': case 'p': return 0x67;
    case '-': return 0x01;
    case '_': return 0x08;
    case '.': case ',': return POINT;
    default: return 0;
    }
}

LedControl::LedControl(int mosi, int sck, int cs, int count) : mosi_(mosi), sck_(sck), cs_(cs), count_(count) {
    if (count_ < 1 || count_ > MAX_CHIPS) {
        count_ = MAX_CHIPS;
    }
}

bool LedControl::begin(int addr) {
    if (!is_begun_) {
        is_begun_ = true;
        digitalWrite(cs_, HIGH);
        digitalWrite(sck_, LOW);
        for (int chip = 0; chip < count_; chip++) {
            write(chip, SHUTDOWN, 0);
            write(chip, DISPLAY_TEST, 0);
            write(chip, SCAN_LIMIT, ROWS - 1);
            write(chip, DECODE_MODE, 0);
            clearDisplay(chip);
        }
    }
    return addr >= 0 && addr < count_;
}

void LedControl::shutdown(int addr, bool is_off) {
    if (begin(addr)) {
        write(addr, SHUTDOWN, !is_off);
    }
}

void LedControl::setScanLimit(int addr, int limit) {
    if (begin(addr) && limit >= 0 && limit < ROWS) {
        write(addr, SCAN_LIMIT, (byte)limit);
    }
}

void LedControl::setIntensity(int addr, int intensity) {
    if (begin(addr) && intensity >= 0 && intensity < 16) {
        write(addr, INTENSITY, (byte)intensity);
    }
}

void LedControl::clearDisplay(int addr) {
    if (begin(addr)) {
        for (int row = 0; row < ROWS; row++) {
            rows_[addr][row] = 0;
            send_row(addr, row);
        }
    }
}

void LedControl::setLed(int addr, int row, int column, bool state) {
    if (begin(addr) && row >= 0 && row < ROWS && column >= 0 && column < 8) {
        bitWrite(rows_[addr][row], LAST_COLUMN - column, state);
        send_row(addr, row);
    }
}

void LedControl::setRow(int addr, int row, byte value) {
    if (begin(addr) && row >= 0 && row < ROWS) {
        rows_[addr][row] = value;
        send_row(addr, row);
    }
}

void LedControl::setColumn(int addr, int column, byte value) {
    for (int row = 0; row < ROWS; row++) {
        setLed(addr, row, column, value >> (ROWS - 1 - row) & 1);
    }
}

void LedControl::setDigit(int addr, int digit, byte value, bool dp) {
    if (value < sizeof digits) {
        setRow(addr, digit, digits[value] | (dp ? POINT : 0));
    }
}

void LedControl::setChar(int addr, int digit, char value, bool dp) {
    setRow(addr, digit, segments(value) | (dp ? POINT : 0));
}

void LedControl::send_row(int addr, int row) { write(addr, (byte)(row + 1), rows_[addr][row]); }

void LedControl::write(int addr, byte reg, byte value) {
    digitalWrite(cs_, LOW);
    for (int chip = count_ - 1; chip >= 0; chip--) {
        bool is_it = chip == addr;
        shiftOut(mosi_, sck_, MSBFIRST, is_it ? reg : 0);
        shiftOut(mosi_, sck_, MSBFIRST, is_it ? value : 0);
    }
    digitalWrite(cs_, HIGH);
}

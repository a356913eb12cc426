#include <microclaw_oled.h>

enum { MAX_TRANSFER = 128, COMMANDS = 0x00, DATA = 0x40, DARK = 0, LIT = 1, OTHER = 2 };

bool Microclaw_Oled::find(uint8_t address) {
    if (WIDTH * page_count() > (int)sizeof buffer_) {
        return false;
    }
    if (address) {
        address_ = address;
        return answers(address);
    }
    for (uint8_t usual = 0x3c; usual <= 0x3d; usual++) {
        if (answers(usual)) {
            address_ = usual;
            return true;
        }
    }
    return false;
}

bool Microclaw_Oled::answers(uint8_t address) {
    wire_->beginTransmission(address);
    return wire_->endTransmission() == 0;
}

bool Microclaw_Oled::commands(const uint8_t *bytes, size_t count) {
    wire_->beginTransmission(address_);
    wire_->write((uint8_t)COMMANDS);
    wire_->write(bytes, count);
    return wire_->endTransmission() == 0;
}

void Microclaw_Oled::data(const uint8_t *bytes, size_t count) {
    while (count) {
        size_t size = min(count, (size_t)(MAX_TRANSFER - 1));
        wire_->beginTransmission(address_);
        wire_->write((uint8_t)DATA);
        wire_->write(bytes, size);
        wire_->endTransmission();
        bytes += size;
        count -= size;
    }
}

void Microclaw_Oled::setContrast(uint8_t contrast) {
    const uint8_t bytes[] = {0x81, contrast};
    contrast_ = contrast;
    commands(bytes, sizeof bytes);
}

/* The pixels of a byte of the picture that are 1 in the mask get the color. */
static void paint(uint8_t *byte, uint8_t mask, uint16_t color) {
    if (color == DARK) {
        *byte = (uint8_t)(*byte & ~mask);
    } else if (color == OTHER) {
        *byte = (uint8_t)(*byte ^ mask);
    } else {
        *byte = (uint8_t)(*byte | mask);
    }
}

void Microclaw_Oled::drawPixel(int16_t x, int16_t y, uint16_t color) {
    if (place(x, y)) {
        paint(page(y / 8) + x, (uint8_t)(1 << y % 8), color);
    }
}

/* Up to 8 rows at once: pixel by pixel a whole picture would take longer than sending it. */
void Microclaw_Oled::fillRect(int16_t x, int16_t y, int16_t w, int16_t h, uint16_t color) {
    int16_t x0 = max((int16_t)0, x), y0 = max((int16_t)0, y);
    int16_t x1 = (int16_t)(min((int)_width, x + w) - 1), y1 = (int16_t)(min((int)_height, y + h) - 1);
    if (x1 < x0 || y1 < y0 || !place(x0, y0) || !place(x1, y1)) {
        return;
    }
    int left = min(x0, x1), right = max(x0, x1), top = min(y0, y1), bottom = max(y0, y1);
    for (int number = top / 8; number <= bottom / 8; number++) {
        int first = max(top - number * 8, 0), last = min(bottom - number * 8, 7);
        uint8_t mask = (uint8_t)(0xff << first & 0xff >> (7 - last));
        for (int column = left; column <= right; column++) {
            paint(page(number) + column, mask, color);
        }
    }
}

void Microclaw_Oled::fillScreen(uint16_t color) {
    for (size_t at = 0; at < sizeof buffer_; at++) {
        buffer_[at] = color == OTHER ? (uint8_t)~buffer_[at] : color == DARK ? 0 : 0xff;
    }
}

bool Microclaw_Oled::getPixel(int16_t x, int16_t y) const {
    if (!place(x, y)) {
        return false;
    }
    return buffer_[y / 8 * WIDTH + x] >> y % 8 & 1;
}

#include <Adafruit_GFX.h>
#include <stdlib.h>
#include <string.h>

GFXcanvas1::GFXcanvas1(uint16_t width, uint16_t height)
    : Adafruit_GFX((int16_t)width, (int16_t)height), buffer_((uint8_t *)calloc(row_bytes(), height)) {}

GFXcanvas1::~GFXcanvas1() { free(buffer_); }

void GFXcanvas1::drawPixel(int16_t x, int16_t y, uint16_t color) {
    if (!buffer_ || !place(x, y)) {
        return;
    }
    uint8_t *byte = buffer_ + (size_t)y * row_bytes() + x / 8, bit = (uint8_t)(0x80 >> x % 8);
    *byte = (uint8_t)(color ? *byte | bit : *byte & ~bit);
}

void GFXcanvas1::fillScreen(uint16_t color) {
    if (buffer_) {
        memset(buffer_, color ? 0xff : 0, row_bytes() * (size_t)HEIGHT);
    }
}

bool GFXcanvas1::getPixel(int16_t x, int16_t y) const {
    if (!buffer_ || !place(x, y)) {
        return false;
    }
    return buffer_[(size_t)y * row_bytes() + x / 8] >> (7 - x % 8) & 1;
}

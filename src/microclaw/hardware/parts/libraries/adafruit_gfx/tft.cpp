/* Commands of the TFT controllers ILI9341 (ILITEK V1.11, section 8.2) and ST7789 (Sitronix ST7789V 1.4, section 9.1). */
#include <microclaw_tft.h>

enum {
    SWRESET = 0x01, SLPIN = 0x10, SLPOUT = 0x11, NORON = 0x13, INVOFF = 0x20, INVON = 0x21, DISPON = 0x29, CASET = 0x2a,
    RASET = 0x2b, RAMWR = 0x2c, MADCTL = 0x36, COLMOD = 0x3a,
    BITS_16 = 0x55, CHUNK_PIXELS = 32,
};

void Microclaw_Tft::start(uint32_t clock_hz, uint8_t mode, const uint8_t *turns, bool is_inverse) {
    if (!clock_hz_) {
        clock_hz_ = clock_hz;
    }
    mode_ = mode;
    turns_ = turns;
    is_inverse_ = is_inverse;
    for (int pin : {cs_, dc_, rst_, mosi_, sck_}) {
        if (pin >= 0) {
            pinMode(pin, OUTPUT);
        }
    }
    if (cs_ >= 0) {
        digitalWrite(cs_, HIGH);
    }
    reset();
    sendCommand(SLPOUT);
    delay(10);
    const uint8_t bits = BITS_16;
    sendCommand(COLMOD, &bits, 1);
    setRotation(0);
    invertDisplay(false);
    sendCommand(NORON);
    /* The chip's memory has anything in it at first: it is cleared before it is seen. */
    fillScreen(0);
    sendCommand(DISPON);
}

void Microclaw_Tft::reset() {
    if (rst_ >= 0) {
        for (int level : {HIGH, LOW, HIGH}) {
            digitalWrite(rst_, level);
            delay(10);
        }
        delay(110);
    }
    sendCommand(SWRESET);
    delay(150);
}

void Microclaw_Tft::set_panel(int16_t width, int16_t height, int16_t left, int16_t top) {
    panel_width_ = width;
    panel_height_ = height;
    left_ = left;
    top_ = top;
}

void Microclaw_Tft::setRotation(uint8_t quarters) {
    rotation = quarters & 3;
    bool is_turned = rotation & 1;
    _width = is_turned ? panel_height_ : panel_width_;
    _height = is_turned ? panel_width_ : panel_height_;
    place_window();
    sendCommand(MADCTL, turns_ + rotation, 1);
}

/* In each rotation, the columns and lines of the chip's memory before the panel. */
void Microclaw_Tft::place_window() {
    int16_t right = (int16_t)(MEMORY_WIDTH - panel_width_ - left_), bottom = (int16_t)(MEMORY_HEIGHT - panel_height_ - top_);
    switch (rotation) {
    case 0:
        window_left_ = left_;
        window_top_ = top_;
        break;
    case 1:
        window_left_ = top_;
        window_top_ = right;
        break;
    case 2:
        window_left_ = right;
        window_top_ = bottom;
        break;
    default:
        window_left_ = bottom;
        window_top_ = left_;
    }
}

void Microclaw_Tft::invertDisplay(bool on) { sendCommand(on != is_inverse_ ? INVON : INVOFF); }

void Microclaw_Tft::enableSleep(bool on) {
    sendCommand(on ? SLPIN : SLPOUT);
    delay(5);
}

/* Calls may be within each other: the chip is selected until the last one ends. */
void Microclaw_Tft::select(bool on) {
    bool is_change = on ? depth_++ == 0 : --depth_ == 0;
    if (is_change && cs_ >= 0) {
        digitalWrite(cs_, on ? LOW : HIGH);
    }
}

void Microclaw_Tft::send_by_pins(Microclaw_Tft &tft, const uint8_t *bytes, uint32_t count) {
    for (uint32_t at = 0; at < count; at++) {
        shiftOut(tft.mosi_, tft.sck_, MSBFIRST, bytes[at]);
    }
}

void Microclaw_Tft::sendCommand(uint8_t command, const uint8_t *arguments, uint8_t count) {
    startWrite();
    digitalWrite(dc_, LOW);
    send(&command, 1);
    digitalWrite(dc_, HIGH);
    if (count) {
        send(arguments, count);
    }
    endWrite();
}

void Microclaw_Tft::setAddrWindow(uint16_t x, uint16_t y, uint16_t w, uint16_t h) {
    uint16_t left = (uint16_t)(x + window_left_), top = (uint16_t)(y + window_top_);
    uint16_t right = (uint16_t)(left + w - 1), bottom = (uint16_t)(top + h - 1);
    const uint8_t columns[] = {highByte(left), lowByte(left), highByte(right), lowByte(right)};
    const uint8_t lines[] = {highByte(top), lowByte(top), highByte(bottom), lowByte(bottom)};
    sendCommand(CASET, columns, sizeof columns);
    sendCommand(RASET, lines, sizeof lines);
    sendCommand(RAMWR);
}

void Microclaw_Tft::writeColor(uint16_t color, uint32_t count) {
    uint8_t bytes[2 * CHUNK_PIXELS];
    for (int pixel = 0; pixel < CHUNK_PIXELS; pixel++) {
        bytes[2 * pixel] = highByte(color);
        bytes[2 * pixel + 1] = lowByte(color);
    }
    while (count) {
        uint32_t part = min(count, (uint32_t)CHUNK_PIXELS);
        send(bytes, 2 * part);
        count -= part;
    }
}

void Microclaw_Tft::writePixels(uint16_t *colors, uint32_t count) {
    for (uint32_t at = 0; at < count; at++) {
        writeColor(colors[at], 1);
    }
}

void Microclaw_Tft::pushColor(uint16_t color) {
    startWrite();
    writeColor(color, 1);
    endWrite();
}

void Microclaw_Tft::fillRect(int16_t x, int16_t y, int16_t w, int16_t h, uint16_t color) {
    int left = max(0, (int)x), right = min((int)_width, x + w), top = max(0, (int)y), bottom = min((int)_height, y + h);
    if (left >= right || top >= bottom) {
        return;
    }
    startWrite();
    setAddrWindow((uint16_t)left, (uint16_t)top, (uint16_t)(right - left), (uint16_t)(bottom - top));
    writeColor(color, (uint32_t)(right - left) * (uint32_t)(bottom - top));
    endWrite();
}

void Microclaw_Tft::drawRGBBitmap(int16_t x, int16_t y, const uint16_t *colors, int16_t w, int16_t h) {
    int left = max(0, (int)x), right = min((int)_width, x + w), top = max(0, (int)y), bottom = min((int)_height, y + h);
    if (left >= right || top >= bottom) {
        return;
    }
    startWrite();
    setAddrWindow((uint16_t)left, (uint16_t)top, (uint16_t)(right - left), (uint16_t)(bottom - top));
    for (int row = top; row < bottom; row++) {
        for (int column = left; column < right; column++) {
            writeColor(colors[(row - y) * w + column - x], 1);
        }
    }
    endWrite();
}

/* Texts stand on a base line, or as setFontPosTop and the others say. A text in UTF-8 has the byte 0xc2 before a degree sign. */
#include <U8g2lib.h>

enum { UTF8_LEAD = 0xc2 };

static int advance_of(const MicroclawFont *font, const uint8_t *glyph) { return glyph ? glyph[0] + font->gap : 0; }

u8g2_uint_t U8G2::getStrWidth(const char *text) const {
    int width = 0;
    for (; font_ && *text; text++) {
        width += advance_of(font_, microclaw_glyph(font_, (unsigned char)*text));
    }
    return (u8g2_uint_t)width;
}

int8_t U8G2::getMaxCharWidth() const {
    int widest = 0;
    for (unsigned character = ' '; font_ && character <= '~'; character++) {
        widest = max(widest, advance_of(font_, microclaw_glyph(font_, character)));
    }
    return (int8_t)widest;
}

/* How far the base line is below the place that a program gives. */
int U8G2::base_shift() const {
    switch (position_) {
    case TOP: return getAscent();
    case BOTTOM: return getDescent();
    case CENTER: return (getAscent() + getDescent()) / 2;
    default: return 0;
    }
}

/* A pixel of a text that runs from x, y in the direction of the font: `along` the base line, `across` below it. */
void U8G2::put(int x, int y, int along, int across, uint8_t color) {
    switch (direction_) {
    case 1: panel_.drawPixel((int16_t)(x - across), (int16_t)(y + along), color); break;
    case 2: panel_.drawPixel((int16_t)(x - along), (int16_t)(y - across), color); break;
    case 3: panel_.drawPixel((int16_t)(x + across), (int16_t)(y - along), color); break;
    default: panel_.drawPixel((int16_t)(x + along), (int16_t)(y + across), color); break;
    }
}

static bool has_ink(const uint8_t *glyph, int row) {
    for (int column = 0; column < glyph[0]; column++) {
        if (microclaw_glyph_pixel(glyph, column, row)) {
            return true;
        }
    }
    return false;
}

u8g2_uint_t U8G2::drawGlyph(int x, int y, uint16_t character) {
    const uint8_t *glyph = font_ ? microclaw_glyph(font_, character) : nullptr;
    if (!glyph) {
        return 0;
    }
    int top = 0, bottom = font_->rows;
    while (top < bottom && !has_ink(glyph, top)) {
        top++;
    }
    while (bottom > top && !has_ink(glyph, bottom - 1)) {
        bottom--;
    }
    for (int row = top; row < bottom; row++) {
        int across = row - font_->ascent + base_shift();
        for (int column = 0; column < glyph[0]; column++) {
            bool is_lit = microclaw_glyph_pixel(glyph, column, row);
            if (is_lit) {
                put(x, y, column, across, color_);
            } else if (!is_text_transparent_) {
                put(x, y, column, across, !color_);
            }
        }
    }
    return (u8g2_uint_t)advance_of(font_, glyph);
}

u8g2_uint_t U8G2::drawStr(int x, int y, const char *text) {
    int width = 0;
    for (; *text; text++) {
        int shift_x = direction_ == 0 ? width : direction_ == 2 ? -width : 0;
        int shift_y = direction_ == 1 ? width : direction_ == 3 ? -width : 0;
        width += drawGlyph(x + shift_x, y + shift_y, (unsigned char)*text);
    }
    return (u8g2_uint_t)width;
}

size_t U8G2::write(uint8_t c) {
    const char text[] = {(char)c, '\0'};
    int width = c == UTF8_LEAD ? 0 : drawStr(cursor_x_, cursor_y_, text);
    switch (direction_) {
    case 1: cursor_y_ += width; break;
    case 2: cursor_x_ -= width; break;
    case 3: cursor_y_ -= width; break;
    default: cursor_x_ += width; break;
    }
    return 1;
}

/* Texts in the font of 5 x 7 pixels, whose cells are 6 x 8. */
#include <Adafruit_GFX.h>
#include <pixel_font.h>

enum { CELL_WIDTH = 6, CELL_HEIGHT = 8, GLYPH_WIDTH = 5, GLYPH_ROWS = 7 };

/* The degree sign has two codes in the library's font; a text in UTF-8 has the byte 0xc2 before it. */
static unsigned character_of(unsigned char c) { return c == 247 || c == 248 ? MICROCLAW_DEGREE : c; }
static bool is_shown(unsigned char c) { return c != '\r' && c != 0xc2; }

/* What the font does not have is a box. */
static bool is_lit(const uint8_t *glyph, int column, int row) {
    if (column >= GLYPH_WIDTH || row >= GLYPH_ROWS) {
        return false;
    }
    if (!glyph) {
        return column == 0 || column == GLYPH_WIDTH - 1 || row == 0 || row == GLYPH_ROWS - 1;
    }
    return microclaw_glyph_pixel(glyph, column, row);
}

void Adafruit_GFX::drawChar(int16_t x, int16_t y, unsigned char c, uint16_t color, uint16_t ground, uint8_t size_x,
                            uint8_t size_y) {
    bool is_outside = x >= _width || y >= _height || x + CELL_WIDTH * size_x <= 0 || y + CELL_HEIGHT * size_y <= 0;
    if (is_outside) {
        return;
    }
    const uint8_t *glyph = microclaw_glyph(&microclaw_font_5x7, character_of(c));
    startWrite();
    for (int column = 0; column < CELL_WIDTH; column++) {
        for (int row = 0; row < CELL_HEIGHT; row++) {
            bool lit = is_lit(glyph, column, row);
            if (!lit && ground == color) {
                continue;
            }
            int16_t left = (int16_t)(x + column * size_x), top = (int16_t)(y + row * size_y);
            if (size_x == 1 && size_y == 1) {
                writePixel(left, top, lit ? color : ground);
            } else {
                writeFillRect(left, top, size_x, size_y, lit ? color : ground);
            }
        }
    }
    endWrite();
}

size_t Adafruit_GFX::write(uint8_t c) {
    if (c == '\n') {
        cursor_x = 0;
        cursor_y = (int16_t)(cursor_y + CELL_HEIGHT * textsize_y);
        return 1;
    }
    if (!is_shown(c)) {
        return 1;
    }
    if (wrap && cursor_x + CELL_WIDTH * textsize_x > _width) {
        write('\n');
    }
    drawChar(cursor_x, cursor_y, c, textcolor, textbgcolor, textsize_x, textsize_y);
    cursor_x = (int16_t)(cursor_x + CELL_WIDTH * textsize_x);
    return 1;
}

void Adafruit_GFX::getTextBounds(const char *text, int16_t x, int16_t y, int16_t *x1, int16_t *y1, uint16_t *w, uint16_t *h) {
    int cell_width = CELL_WIDTH * textsize_x, cell_height = CELL_HEIGHT * textsize_y;
    int column = x, row = y, left = x, right = x, bottom = y;
    bool has_characters = false;
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (!is_shown(c)) {
            continue;
        }
        bool is_full = wrap && column + cell_width > _width;
        if (c == '\n' || is_full) {
            column = 0;
            row += cell_height;
        }
        if (c == '\n') {
            continue;
        }
        left = has_characters ? min(left, column) : column;
        has_characters = true;
        column += cell_width;
        right = max(right, column);
        bottom = row + cell_height;
    }
    *x1 = (int16_t)left;
    *y1 = y;
    *w = (uint16_t)(right - left);
    *h = (uint16_t)(bottom - y);
}

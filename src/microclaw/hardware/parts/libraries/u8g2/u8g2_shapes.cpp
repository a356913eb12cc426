#include <U8g2lib.h>

/* The corners as the drawing of circles counts them: upper left, upper right, lower right, lower left. */
static uint8_t corners_of(uint8_t quarters) {
    uint8_t corners = 0;
    corners |= quarters & U8G2_DRAW_UPPER_LEFT ? 1 : 0;
    corners |= quarters & U8G2_DRAW_UPPER_RIGHT ? 2 : 0;
    corners |= quarters & U8G2_DRAW_LOWER_RIGHT ? 4 : 0;
    corners |= quarters & U8G2_DRAW_LOWER_LEFT ? 8 : 0;
    return corners;
}

void U8G2::drawLine(int x0, int y0, int x1, int y1) {
    panel_.drawLine((int16_t)x0, (int16_t)y0, (int16_t)x1, (int16_t)y1, color_);
}

void U8G2::drawBox(int x, int y, int w, int h) {
    panel_.fillRect((int16_t)x, (int16_t)y, (int16_t)w, (int16_t)h, color_);
}

void U8G2::drawFrame(int x, int y, int w, int h) {
    panel_.drawRect((int16_t)x, (int16_t)y, (int16_t)w, (int16_t)h, color_);
}

void U8G2::drawRBox(int x, int y, int w, int h, int radius) {
    panel_.fillRoundRect((int16_t)x, (int16_t)y, (int16_t)w, (int16_t)h, (int16_t)radius, color_);
}

void U8G2::drawRFrame(int x, int y, int w, int h, int radius) {
    panel_.drawRoundRect((int16_t)x, (int16_t)y, (int16_t)w, (int16_t)h, (int16_t)radius, color_);
}

void U8G2::drawCircle(int x, int y, int radius, uint8_t quarters) {
    if (quarters == U8G2_DRAW_ALL) {
        panel_.drawCircle((int16_t)x, (int16_t)y, (int16_t)radius, color_);
    } else {
        panel_.arc((int16_t)x, (int16_t)y, (int16_t)radius, corners_of(quarters), color_);
    }
}

/* A quarter of a disc is the whole one where its corner is. */
void U8G2::drawDisc(int x, int y, int radius, uint8_t quarters) {
    if (quarters == U8G2_DRAW_ALL) {
        panel_.fillCircle((int16_t)x, (int16_t)y, (int16_t)radius, color_);
        return;
    }
    for (int row = -radius; row <= radius; row++) {
        for (int column = -radius; column <= radius; column++) {
            uint8_t left = row <= 0 ? U8G2_DRAW_UPPER_LEFT : U8G2_DRAW_LOWER_LEFT;
            uint8_t right = row <= 0 ? U8G2_DRAW_UPPER_RIGHT : U8G2_DRAW_LOWER_RIGHT;
            bool is_inside = row * row + column * column <= radius * radius + radius;
            if (is_inside && quarters & (column <= 0 ? left : right)) {
                drawPixel(x + column, y + row);
            }
        }
    }
}

void U8G2::drawTriangle(int x0, int y0, int x1, int y1, int x2, int y2) {
    panel_.fillTriangle((int16_t)x0, (int16_t)y0, (int16_t)x1, (int16_t)y1, (int16_t)x2, (int16_t)y2, color_);
}

/* Dark pixels of a picture are drawn too, unless the mode is transparent. */
void U8G2::drawXBM(int x, int y, int w, int h, const uint8_t *bits) {
    for (int row = 0; row < h; row++) {
        for (int column = 0; column < w; column++) {
            bool is_lit = bits[row * ((w + 7) / 8) + column / 8] >> column % 8 & 1;
            if (is_lit) {
                drawPixel(x + column, y + row);
            } else if (!is_bitmap_transparent_) {
                panel_.drawPixel((int16_t)(x + column), (int16_t)(y + row), !color_);
            }
        }
    }
}

void U8G2::drawBitmap(int x, int y, int row_bytes, int h, const uint8_t *bits) {
    int16_t w = (int16_t)(row_bytes * 8);
    if (is_bitmap_transparent_) {
        panel_.drawBitmap((int16_t)x, (int16_t)y, bits, w, (int16_t)h, color_);
    } else {
        panel_.drawBitmap((int16_t)x, (int16_t)y, bits, w, (int16_t)h, color_, !color_);
    }
}

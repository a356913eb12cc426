/* Lines, circles and triangles by the usual integer algorithms: Bresenham's line, the midpoint circle, scan lines. */
#include <Adafruit_GFX.h>

enum { UPPER_LEFT = 1, UPPER_RIGHT = 2, LOWER_RIGHT = 4, LOWER_LEFT = 8, ALL_CORNERS = 15 };

/* Goes from the highest point of a circle to its diagonal: x counts up, y is the height above its middle. */
class Arc {
  public:
    explicit Arc(int radius) : y(radius), error_(1 - radius) {}
    bool next() {
        x++;
        if (error_ < 0) {
            error_ += 2 * x + 1;
        } else {
            y--;
            error_ += 2 * (x - y) + 1;
        }
        return x <= y;
    }
    int x = 0, y;

  private:
    int error_;
};

void Adafruit_GFX::setRotation(uint8_t quarters) {
    rotation = quarters & 3;
    _width = rotation & 1 ? HEIGHT : WIDTH;
    _height = rotation & 1 ? WIDTH : HEIGHT;
}

bool Adafruit_GFX::place(int16_t &x, int16_t &y) const {
    if (x < 0 || y < 0 || x >= _width || y >= _height) {
        return false;
    }
    int16_t drawn_x = x, drawn_y = y;
    switch (rotation) {
    case 1:
        x = (int16_t)(WIDTH - 1 - drawn_y);
        y = drawn_x;
        break;
    case 2:
        x = (int16_t)(WIDTH - 1 - drawn_x);
        y = (int16_t)(HEIGHT - 1 - drawn_y);
        break;
    case 3:
        x = drawn_y;
        y = (int16_t)(HEIGHT - 1 - drawn_x);
        break;
    }
    return true;
}

void Adafruit_GFX::fillRect(int16_t x, int16_t y, int16_t w, int16_t h, uint16_t color) {
    int left = max(0, (int)x), right = min((int)_width, x + w), top = max(0, (int)y), bottom = min((int)_height, y + h);
    startWrite();
    for (int row = top; row < bottom; row++) {
        for (int column = left; column < right; column++) {
            writePixel((int16_t)column, (int16_t)row, color);
        }
    }
    endWrite();
}

void Adafruit_GFX::drawRect(int16_t x, int16_t y, int16_t w, int16_t h, uint16_t color) {
    drawFastHLine(x, y, w, color);
    drawFastHLine(x, (int16_t)(y + h - 1), w, color);
    drawFastVLine(x, (int16_t)(y + 1), (int16_t)(h - 2), color);
    drawFastVLine((int16_t)(x + w - 1), (int16_t)(y + 1), (int16_t)(h - 2), color);
}

void Adafruit_GFX::drawLine(int16_t x0, int16_t y0, int16_t x1, int16_t y1, uint16_t color) {
    int width = abs(x1 - x0), height = -abs(y1 - y0), step_x = x0 < x1 ? 1 : -1, step_y = y0 < y1 ? 1 : -1;
    int error = width + height, x = x0, y = y0;
    startWrite();
    writePixel((int16_t)x, (int16_t)y, color);
    while (x != x1 || y != y1) {
        int twice = 2 * error;
        if (twice >= height) {
            error += height;
            x += step_x;
        }
        if (twice <= width) {
            error += width;
            y += step_y;
        }
        writePixel((int16_t)x, (int16_t)y, color);
    }
    endWrite();
}

/* The arcs of a circle around x, y; a point that two of them share is drawn once, for the sake of inverse colors. */
void Adafruit_GFX::corner(int16_t x, int16_t y, int16_t radius, uint8_t which, uint16_t color) {
    for (Arc arc(radius); arc.next();) {
        int16_t a = (int16_t)arc.x, b = (int16_t)arc.y;
        for (uint8_t one = UPPER_LEFT; one <= LOWER_LEFT; one = (uint8_t)(one << 1)) {
            if (!(which & one)) {
                continue;
            }
            int sign_x = one & (UPPER_LEFT | LOWER_LEFT) ? -1 : 1, sign_y = one & (UPPER_LEFT | UPPER_RIGHT) ? -1 : 1;
            writePixel((int16_t)(x + sign_x * a), (int16_t)(y + sign_y * b), color);
            if (a != b) {
                writePixel((int16_t)(x + sign_x * b), (int16_t)(y + sign_y * a), color);
            }
        }
    }
}

void Adafruit_GFX::drawCircle(int16_t x, int16_t y, int16_t radius, uint16_t color) {
    if (radius < 0) {
        return;
    }
    startWrite();
    writePixel(x, (int16_t)(y - radius), color);
    if (radius) {
        writePixel(x, (int16_t)(y + radius), color);
        writePixel((int16_t)(x - radius), y, color);
        writePixel((int16_t)(x + radius), y, color);
    }
    corner(x, y, radius, ALL_CORNERS, color);
    endWrite();
}

/* How high a circle is above its middle line at the distance x from its middle. */
static int arc_height(int radius, int x) {
    int widest = 0;
    if (x == 0) {
        return radius;
    }
    for (Arc arc(radius); arc.next();) {
        if (arc.x == x) {
            return arc.y;
        }
        if (arc.y >= x) {
            widest = arc.x;
        }
    }
    return widest;
}

void Adafruit_GFX::fillCircle(int16_t x, int16_t y, int16_t radius, uint16_t color) {
    int16_t size = (int16_t)(2 * radius + 1);
    fillRoundRect((int16_t)(x - radius), (int16_t)(y - radius), size, size, radius, color);
}

static int16_t possible_radius(int16_t radius, int16_t w, int16_t h) {
    int16_t most = (int16_t)(min(w, h) / 2);
    return max((int16_t)0, min(radius, most));
}

void Adafruit_GFX::drawRoundRect(int16_t x, int16_t y, int16_t w, int16_t h, int16_t radius, uint16_t color) {
    int16_t r = possible_radius(radius, w, h), right = (int16_t)(x + w - 1), bottom = (int16_t)(y + h - 1);
    int16_t near_x = (int16_t)(x + r), far_x = (int16_t)(right - r), near_y = (int16_t)(y + r), far_y = (int16_t)(bottom - r);
    startWrite();
    writeFastHLine(near_x, y, (int16_t)(w - 2 * r), color);
    writeFastHLine(near_x, bottom, (int16_t)(w - 2 * r), color);
    /* Without round corners the ends of the lines above are the corners. */
    int16_t sharp = r ? 0 : 1;
    writeFastVLine(x, (int16_t)(near_y + sharp), (int16_t)(h - 2 * r - 2 * sharp), color);
    writeFastVLine(right, (int16_t)(near_y + sharp), (int16_t)(h - 2 * r - 2 * sharp), color);
    corner(near_x, near_y, r, UPPER_LEFT, color);
    corner(far_x, near_y, r, UPPER_RIGHT, color);
    corner(far_x, far_y, r, LOWER_RIGHT, color);
    corner(near_x, far_y, r, LOWER_LEFT, color);
    endWrite();
}

void Adafruit_GFX::fillRoundRect(int16_t x, int16_t y, int16_t w, int16_t h, int16_t radius, uint16_t color) {
    int16_t r = possible_radius(radius, w, h);
    startWrite();
    writeFillRect((int16_t)(x + r), y, (int16_t)(w - 2 * r), h, color);
    for (int distance = 1; distance <= r; distance++) {
        int cut = r - arc_height(r, distance);
        int16_t top = (int16_t)(y + cut), size = (int16_t)(h - 2 * cut);
        writeFastVLine((int16_t)(x + r - distance), top, size, color);
        writeFastVLine((int16_t)(x + w - 1 - r + distance), top, size, color);
    }
    endWrite();
}

void Adafruit_GFX::drawTriangle(int16_t x0, int16_t y0, int16_t x1, int16_t y1, int16_t x2, int16_t y2, uint16_t color) {
    drawLine(x0, y0, x1, y1, color);
    drawLine(x1, y1, x2, y2, color);
    drawLine(x2, y2, x0, y0, color);
}

struct Point {
    int x, y;
};

/* Where the side from a to b crosses a row; a is not below b. */
static int crossing(Point a, Point b, int row) {
    if (a.y == b.y) {
        return a.x;
    }
    return a.x + (b.x - a.x) * (row - a.y) / (b.y - a.y);
}

void Adafruit_GFX::fillTriangle(int16_t x0, int16_t y0, int16_t x1, int16_t y1, int16_t x2, int16_t y2, uint16_t color) {
    Point top = {x0, y0}, middle = {x1, y1}, bottom = {x2, y2};
    if (top.y > middle.y) {
        swap(top, middle);
    }
    if (middle.y > bottom.y) {
        swap(middle, bottom);
    }
    if (top.y > middle.y) {
        swap(top, middle);
    }
    startWrite();
    for (int row = top.y; row <= bottom.y; row++) {
        int a = crossing(top, bottom, row);
        int b = row < middle.y ? crossing(top, middle, row) : crossing(middle, bottom, row);
        int left = min(a, b), right = max(a, b);
        if (top.y == bottom.y) {
            left = min(left, min(middle.x, bottom.x));
            right = max(right, max(middle.x, bottom.x));
        }
        writeFastHLine((int16_t)left, (int16_t)row, (int16_t)(right - left + 1), color);
    }
    endWrite();
}

/* Whether a pixel of a bitmap is lit; `lowest_first`: the leftmost pixel of a byte is its lowest bit. */
static bool bit_of(const uint8_t *bits, int w, int column, int row, bool lowest_first) {
    uint8_t byte = bits[row * ((w + 7) / 8) + column / 8];
    return byte >> (lowest_first ? column % 8 : 7 - column % 8) & 1;
}

void Adafruit_GFX::drawBitmap(int16_t x, int16_t y, const uint8_t *bits, int16_t w, int16_t h, uint16_t color) {
    startWrite();
    for (int row = 0; row < h; row++) {
        for (int column = 0; column < w; column++) {
            if (bit_of(bits, w, column, row, false)) {
                writePixel((int16_t)(x + column), (int16_t)(y + row), color);
            }
        }
    }
    endWrite();
}

void Adafruit_GFX::drawBitmap(int16_t x, int16_t y, const uint8_t *bits, int16_t w, int16_t h, uint16_t color, uint16_t ground) {
    startWrite();
    for (int row = 0; row < h; row++) {
        for (int column = 0; column < w; column++) {
            bool is_lit = bit_of(bits, w, column, row, false);
            writePixel((int16_t)(x + column), (int16_t)(y + row), is_lit ? color : ground);
        }
    }
    endWrite();
}

void Adafruit_GFX::drawXBitmap(int16_t x, int16_t y, const uint8_t *bits, int16_t w, int16_t h, uint16_t color) {
    startWrite();
    for (int row = 0; row < h; row++) {
        for (int column = 0; column < w; column++) {
            if (bit_of(bits, w, column, row, true)) {
                writePixel((int16_t)(x + column), (int16_t)(y + row), color);
            }
        }
    }
    endWrite();
}

void Adafruit_GFX::drawRGBBitmap(int16_t x, int16_t y, const uint16_t *colors, int16_t w, int16_t h) {
    startWrite();
    for (int row = 0; row < h; row++) {
        for (int column = 0; column < w; column++) {
            writePixel((int16_t)(x + column), (int16_t)(y + row), colors[row * w + column]);
        }
    }
    endWrite();
}

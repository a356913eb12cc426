/* Adafruit_GFX.h: drawing of lines, shapes, bitmaps and texts for displays; our own code behind the names of the library, and
 * a font of our own. Without its other fonts (Fonts/...), and without its buttons. */
#pragma once
#include <Arduino.h>
class Adafruit_GFX : public Print {
  public:
    Adafruit_GFX(int16_t width, int16_t height) : WIDTH(width), HEIGHT(height), _width(width), _height(height) {}
    virtual void drawPixel(int16_t x, int16_t y, uint16_t color) = 0;
    virtual void startWrite() {}
    virtual void endWrite() {}
    virtual void writePixel(int16_t x, int16_t y, uint16_t color) { drawPixel(x, y, color); }
    virtual void writeFillRect(int16_t x, int16_t y, int16_t w, int16_t h, uint16_t color) { fillRect(x, y, w, h, color); }
    virtual void writeFastHLine(int16_t x, int16_t y, int16_t w, uint16_t color) { drawFastHLine(x, y, w, color); }
    virtual void writeFastVLine(int16_t x, int16_t y, int16_t h, uint16_t color) { drawFastVLine(x, y, h, color); }
    virtual void writeLine(int16_t x0, int16_t y0, int16_t x1, int16_t y1, uint16_t color) { drawLine(x0, y0, x1, y1, color); }
    virtual void setRotation(uint8_t quarters);
    virtual void invertDisplay(bool) {}
    virtual void drawFastHLine(int16_t x, int16_t y, int16_t w, uint16_t color) { fillRect(x, y, w, 1, color); }
    virtual void drawFastVLine(int16_t x, int16_t y, int16_t h, uint16_t color) { fillRect(x, y, 1, h, color); }
    virtual void fillRect(int16_t x, int16_t y, int16_t w, int16_t h, uint16_t color);
    virtual void fillScreen(uint16_t color) { fillRect(0, 0, _width, _height, color); }
    virtual void drawLine(int16_t x0, int16_t y0, int16_t x1, int16_t y1, uint16_t color);
    virtual void drawRect(int16_t x, int16_t y, int16_t w, int16_t h, uint16_t color);

    void drawCircle(int16_t x, int16_t y, int16_t radius, uint16_t color);
    void fillCircle(int16_t x, int16_t y, int16_t radius, uint16_t color);
    void drawTriangle(int16_t x0, int16_t y0, int16_t x1, int16_t y1, int16_t x2, int16_t y2, uint16_t color);
    void fillTriangle(int16_t x0, int16_t y0, int16_t x1, int16_t y1, int16_t x2, int16_t y2, uint16_t color);
    void drawRoundRect(int16_t x, int16_t y, int16_t w, int16_t h, int16_t radius, uint16_t color);
    void fillRoundRect(int16_t x, int16_t y, int16_t w, int16_t h, int16_t radius, uint16_t color);
    /* The rows of a bitmap are whole bytes, the leftmost pixel the highest bit. Without `ground` dark pixels stay as they are. */
    void drawBitmap(int16_t x, int16_t y, const uint8_t *bits, int16_t w, int16_t h, uint16_t color);
    void drawBitmap(int16_t x, int16_t y, const uint8_t *bits, int16_t w, int16_t h, uint16_t color, uint16_t ground);
    /* As drawBitmap, the leftmost pixel the lowest bit. */
    void drawXBitmap(int16_t x, int16_t y, const uint8_t *bits, int16_t w, int16_t h, uint16_t color);
    void drawRGBBitmap(int16_t x, int16_t y, const uint16_t *colors, int16_t w, int16_t h);

    void drawChar(int16_t x, int16_t y, unsigned char c, uint16_t color, uint16_t ground, uint8_t size) {
        drawChar(x, y, c, color, ground, size, size);
    }
    void drawChar(int16_t x, int16_t y, unsigned char c, uint16_t color, uint16_t ground, uint8_t size_x, uint8_t size_y);
    void getTextBounds(const char *text, int16_t x, int16_t y, int16_t *x1, int16_t *y1, uint16_t *w, uint16_t *h);
    void getTextBounds(const String &text, int16_t x, int16_t y, int16_t *x1, int16_t *y1, uint16_t *w, uint16_t *h) {
        getTextBounds(text.c_str(), x, y, x1, y1, w, h);
    }
    void setCursor(int16_t x, int16_t y) {
        cursor_x = x;
        cursor_y = y;
    }
    void setTextSize(uint8_t size) { setTextSize(size, size); }
    void setTextSize(uint8_t size_x, uint8_t size_y) {
        textsize_x = size_x ? size_x : 1;
        textsize_y = size_y ? size_y : 1;
    }
    void setTextColor(uint16_t color) { setTextColor(color, color); }
    void setTextColor(uint16_t color, uint16_t ground) {
        textcolor = color;
        textbgcolor = ground;
    }
    void setTextWrap(bool on) { wrap = on; }
    void cp437(bool = true) {}
    void setFont(decltype(nullptr) = nullptr) {}
    using Print::write;
    size_t write(uint8_t c) override;

    int16_t width() const { return _width; }
    int16_t height() const { return _height; }
    uint8_t getRotation() const { return rotation; }
    int16_t getCursorX() const { return cursor_x; }
    int16_t getCursorY() const { return cursor_y; }

  protected:
    /* Turns a place as it is drawn into one of the display; false if it is outside. */
    bool place(int16_t &x, int16_t &y) const;
    /* Quarters of a circle: 1 the upper left one, and then clockwise 2, 4 and 8. */
    void corner(int16_t x, int16_t y, int16_t radius, uint8_t which, uint16_t color);
    const int16_t WIDTH, HEIGHT;
    int16_t _width, _height, cursor_x = 0, cursor_y = 0;
    uint16_t textcolor = 0xffff, textbgcolor = 0xffff;
    uint8_t textsize_x = 1, textsize_y = 1, rotation = 0;
    bool wrap = true;
};
/* A picture in memory with one bit for each pixel, as drawBitmap takes it. Dark at first. */
class GFXcanvas1 : public Adafruit_GFX {
  public:
    GFXcanvas1(uint16_t width, uint16_t height);
    ~GFXcanvas1();
    GFXcanvas1(const GFXcanvas1 &) = delete;
    GFXcanvas1 &operator=(const GFXcanvas1 &) = delete;
    void drawPixel(int16_t x, int16_t y, uint16_t color) override;
    void fillScreen(uint16_t color) override;
    bool getPixel(int16_t x, int16_t y) const;
    uint8_t *getBuffer() const { return buffer_; }

  private:
    size_t row_bytes() const { return (size_t)(WIDTH + 7) / 8; }
    uint8_t *buffer_; /* NULL: the heap had no room */
};

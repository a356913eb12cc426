/* U8g2lib.h: OLEDs with an SSD1306 or SH1106 on I2C, and three fonts of our own; our own code behind the common calls of the
 * library. The whole picture is always in memory: what stands between firstPage and nextPage runs once. begin() is false, and
 * the log says it, if no display answers. */
#pragma once
#include <Arduino.h>
#include <Wire.h>
#include <arduino/pin_arguments.h>
#include <microclaw_oled.h>
#include <pixel_font.h>
#define U8X8_HAVE_HW_I2C
#define U8X8_PIN_NONE 255
#define U8X8_PROGMEM
#define U8G2_DRAW_UPPER_RIGHT 1
#define U8G2_DRAW_UPPER_LEFT 2
#define U8G2_DRAW_LOWER_LEFT 4
#define U8G2_DRAW_LOWER_RIGHT 8
#define U8G2_DRAW_ALL 15
typedef uint16_t u8g2_uint_t;
typedef int16_t u8g2_int_t;
/* How the picture is turned, in quarters clockwise, or mirrored. */
struct u8g2_cb_t {
    uint8_t quarters;
    bool is_mirrored;
};
extern const u8g2_cb_t microclaw_u8g2_rotations[5];
#define U8G2_R0 (&microclaw_u8g2_rotations[0])
#define U8G2_R1 (&microclaw_u8g2_rotations[1])
#define U8G2_R2 (&microclaw_u8g2_rotations[2])
#define U8G2_R3 (&microclaw_u8g2_rotations[3])
#define U8G2_MIRROR (&microclaw_u8g2_rotations[4])
/* All fonts that there are. */
#define u8g2_font_ncenB08_tr ((const uint8_t *)&microclaw_font_bold_8)
#define u8g2_font_6x10_tf ((const uint8_t *)&microclaw_font_6x10)
#define u8g2_font_10x20_tf ((const uint8_t *)&microclaw_font_10x20)
enum microclaw_u8g2_controller { MICROCLAW_SSD1306, MICROCLAW_SH1106 };

class Microclaw_U8g2Panel : public Microclaw_Oled {
  public:
    Microclaw_U8g2Panel(microclaw_u8g2_controller controller, uint16_t width, uint16_t height)
        : Microclaw_Oled(width, height, &Wire, 400000, 100000), is_mirrored(false), controller_(controller) {}
    void drawPixel(int16_t x, int16_t y, uint16_t color) override {
        Microclaw_Oled::drawPixel(is_mirrored ? (int16_t)(_width - 1 - x) : x, y, color);
    }
    void fillRect(int16_t x, int16_t y, int16_t w, int16_t h, uint16_t color) override {
        Microclaw_Oled::fillRect(is_mirrored ? (int16_t)(_width - x - w) : x, y, w, h, color);
    }
    bool start(uint8_t address);
    void send();
    void flip(bool on);
    void power(bool on) { command(on ? 0xaf : 0xae); }
    void arc(int16_t x, int16_t y, int16_t radius, uint8_t quarters, uint16_t color) { corner(x, y, radius, quarters, color); }
    using Microclaw_Oled::set_clock;
    bool is_mirrored;

  private:
    microclaw_u8g2_controller controller_;
};

class U8G2 : public Print {
  public:
    /* Here, as only the program knows its board's pins. */
    bool begin() MICROCLAW_I2C_PINS { return open() && start(); }
    bool initDisplay() MICROCLAW_I2C_PINS { return begin(); }
    void setI2CAddress(uint8_t shifted) { address_ = shifted >> 1; } /* the address with the bit for reading behind it */
    void setBusClock(uint32_t hz) { panel_.set_clock(hz); }
    void setDisplayRotation(const u8g2_cb_t *rotation);
    void setPowerSave(uint8_t on) { panel_.power(!on); }
    void setContrast(uint8_t contrast) { panel_.setContrast(contrast); }
    void setFlipMode(uint8_t on) { panel_.flip(on); }
    u8g2_uint_t getDisplayWidth() const { return (u8g2_uint_t)panel_.width(); }
    u8g2_uint_t getDisplayHeight() const { return (u8g2_uint_t)panel_.height(); }
    u8g2_uint_t getWidth() const { return getDisplayWidth(); }
    u8g2_uint_t getHeight() const { return getDisplayHeight(); }

    void clearBuffer() { panel_.clearDisplay(); }
    void sendBuffer() { panel_.send(); }
    void updateDisplay() { sendBuffer(); }
    void updateDisplayArea(uint8_t, uint8_t, uint8_t, uint8_t) { sendBuffer(); }
    void clearDisplay();
    void clear();
    void home() { setCursor(0, 0); }
    void firstPage() { clearBuffer(); }
    uint8_t nextPage();
    uint8_t *getBufferPtr() { return panel_.getBuffer(); }

    void setDrawColor(uint8_t color) { color_ = color; } /* 0: dark, 1: lit, 2: the other one */
    void setColorIndex(uint8_t color) { setDrawColor(color); }
    uint8_t getDrawColor() const { return color_; }
    void drawPixel(int x, int y) { panel_.drawPixel((int16_t)x, (int16_t)y, color_); }
    void drawHLine(int x, int y, int w) { drawBox(x, y, w, 1); }
    void drawVLine(int x, int y, int h) { drawBox(x, y, 1, h); }
    void drawLine(int x0, int y0, int x1, int y1);
    void drawBox(int x, int y, int w, int h);
    void drawFrame(int x, int y, int w, int h);
    void drawRBox(int x, int y, int w, int h, int radius);
    void drawRFrame(int x, int y, int w, int h, int radius);
    void drawCircle(int x, int y, int radius, uint8_t quarters = U8G2_DRAW_ALL);
    void drawDisc(int x, int y, int radius, uint8_t quarters = U8G2_DRAW_ALL);
    void drawTriangle(int x0, int y0, int x1, int y1, int x2, int y2);
    void drawXBM(int x, int y, int w, int h, const uint8_t *bits);
    void drawXBMP(int x, int y, int w, int h, const uint8_t *bits) { drawXBM(x, y, w, h, bits); }
    void drawBitmap(int x, int y, int row_bytes, int h, const uint8_t *bits);
    void setBitmapMode(uint8_t is_transparent) { is_bitmap_transparent_ = is_transparent; }

    void setFont(const uint8_t *font) { font_ = (const MicroclawFont *)font; }
    void setFontMode(uint8_t is_transparent) { is_text_transparent_ = is_transparent; }
    void setFontDirection(uint8_t quarters) { direction_ = quarters & 3; }
    void setFontPosBaseline() { position_ = BASELINE; }
    void setFontPosTop() { position_ = TOP; }
    void setFontPosBottom() { position_ = BOTTOM; }
    void setFontPosCenter() { position_ = CENTER; }
    void setFontRefHeightText() {}
    void setFontRefHeightExtendedText() {}
    void setFontRefHeightAll() {}
    int8_t getAscent() const { return font_ ? (int8_t)font_->ascent : 0; }
    int8_t getDescent() const { return font_ ? (int8_t)(font_->ascent - font_->rows) : 0; }
    int8_t getFontAscent() const { return getAscent(); }
    int8_t getFontDescent() const { return getDescent(); }
    int8_t getMaxCharHeight() const { return font_ ? (int8_t)font_->line : 0; }
    int8_t getMaxCharWidth() const;
    u8g2_uint_t getStrWidth(const char *text) const;
    u8g2_uint_t getUTF8Width(const char *text) const { return getStrWidth(text); }
    /* These return how wide the text is, and so many pixels to the right the next one begins. */
    u8g2_uint_t drawStr(int x, int y, const char *text);
    u8g2_uint_t drawUTF8(int x, int y, const char *text) { return drawStr(x, y, text); }
    u8g2_uint_t drawGlyph(int x, int y, uint16_t character);
    void setCursor(int x, int y) {
        cursor_x_ = x;
        cursor_y_ = y;
    }
    int getCursorX() const { return cursor_x_; }
    int getCursorY() const { return cursor_y_; }
    void enableUTF8Print() {}
    void disableUTF8Print() {}
    using Print::write;
    size_t write(uint8_t c) override;

  protected:
    U8G2(microclaw_u8g2_controller controller, uint16_t width, uint16_t height, const u8g2_cb_t *rotation, int clock, int data)
        : panel_(controller, width, height), clock_(clock), data_(data) {
        setDisplayRotation(rotation);
    }
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wuser-defined-warnings" /* the pins are marked where they are given */
    bool open() {
        bool has_pins = clock_ != U8X8_PIN_NONE && data_ != U8X8_PIN_NONE;
        return has_pins ? Wire.begin(data_, clock_) : microclaw_begin_wire(&Wire);
    }
#pragma clang diagnostic pop
    bool start();

  private:
    enum Position { BASELINE, TOP, BOTTOM, CENTER };
    int base_shift() const;
    void put(int x, int y, int along, int across, uint8_t color);
    Microclaw_U8g2Panel panel_;
    const MicroclawFont *font_ = nullptr;
    Position position_ = BASELINE;
    int clock_, data_, cursor_x_ = 0, cursor_y_ = 0;
    uint8_t address_ = 0x3c, color_ = 1, direction_ = 0;
    bool is_text_transparent_ = false, is_bitmap_transparent_ = false;
};

/* A class for each panel, with the whole picture in memory (F) or a part of it (1, 2), which makes no difference here. */
#define MICROCLAW_U8G2_CLASS(name, controller, width, height) \
    class name##_HW_I2C : public U8G2 { \
      public: \
        explicit name##_HW_I2C(const u8g2_cb_t *rotation, uint8_t = U8X8_PIN_NONE) \
            : U8G2(controller, width, height, rotation, U8X8_PIN_NONE, U8X8_PIN_NONE) {} \
        name##_HW_I2C(const u8g2_cb_t *rotation, uint8_t, uint8_t clock, uint8_t data) \
            MICROCLAW_PIN_MARKS(clock, "scl") MICROCLAW_PIN_MARKS(data, "sda") \
            : U8G2(controller, width, height, rotation, clock, data) {} \
    }; \
    class name##_SW_I2C : public U8G2 { \
      public: \
        name##_SW_I2C(const u8g2_cb_t *rotation, uint8_t clock, uint8_t data, uint8_t = U8X8_PIN_NONE) \
            MICROCLAW_PIN_MARKS(clock, "scl") MICROCLAW_PIN_MARKS(data, "sda") \
            : U8G2(controller, width, height, rotation, clock, data) {} \
        bool begin() { return open() && start(); } \
    };
#define MICROCLAW_U8G2_CLASSES(name, controller, width, height) \
    MICROCLAW_U8G2_CLASS(name##_F, controller, width, height) \
    MICROCLAW_U8G2_CLASS(name##_1, controller, width, height) \
    MICROCLAW_U8G2_CLASS(name##_2, controller, width, height)
MICROCLAW_U8G2_CLASSES(U8G2_SSD1306_128X64_NONAME, MICROCLAW_SSD1306, 128, 64)
MICROCLAW_U8G2_CLASSES(U8G2_SSD1306_128X64_VCOMH0, MICROCLAW_SSD1306, 128, 64)
MICROCLAW_U8G2_CLASSES(U8G2_SSD1306_128X64_ALT0, MICROCLAW_SSD1306, 128, 64)
MICROCLAW_U8G2_CLASSES(U8G2_SSD1306_128X32_UNIVISION, MICROCLAW_SSD1306, 128, 32)
MICROCLAW_U8G2_CLASSES(U8G2_SSD1306_128X32_WINSTAR, MICROCLAW_SSD1306, 128, 32)
MICROCLAW_U8G2_CLASSES(U8G2_SSD1306_72X40_ER, MICROCLAW_SSD1306, 72, 40)
MICROCLAW_U8G2_CLASSES(U8G2_SSD1306_64X48_ER, MICROCLAW_SSD1306, 64, 48)
MICROCLAW_U8G2_CLASSES(U8G2_SSD1306_64X32_NONAME, MICROCLAW_SSD1306, 64, 32)
MICROCLAW_U8G2_CLASSES(U8G2_SSD1306_64X32_1F, MICROCLAW_SSD1306, 64, 32)
MICROCLAW_U8G2_CLASSES(U8G2_SH1106_128X64_NONAME, MICROCLAW_SH1106, 128, 64)
MICROCLAW_U8G2_CLASSES(U8G2_SH1106_128X64_VCOMH0, MICROCLAW_SH1106, 128, 64)
MICROCLAW_U8G2_CLASSES(U8G2_SH1106_128X64_WINSTAR, MICROCLAW_SH1106, 128, 64)

/* microclaw_tft.h: what the libraries of color displays on SPI have in common: 16 bits for each pixel, sent as it is drawn. They
 * use the bus of SPI.h, or any two pins bit by bit, which works without a bus and is slow. */
#pragma once
#include <Adafruit_GFX.h>
#include <SPI.h>
#include <arduino/pin_arguments.h>
class Microclaw_Tft : public Adafruit_GFX {
  public:
    void drawPixel(int16_t x, int16_t y, uint16_t color) override { fillRect(x, y, 1, 1, color); }
    void fillRect(int16_t x, int16_t y, int16_t w, int16_t h, uint16_t color) override;
    void drawRGBBitmap(int16_t x, int16_t y, const uint16_t *colors, int16_t w, int16_t h);
    void setRotation(uint8_t quarters) override;
    void invertDisplay(bool on) override;
    void enableDisplay(bool on) { sendCommand(on ? 0x29 : 0x28); }
    void enableSleep(bool on);
    void setSPISpeed(uint32_t clock_hz) { clock_hz_ = clock_hz; }
    /* Between these: setAddrWindow and the colors of its pixels, row by row. */
    void startWrite() override { select(true); }
    void endWrite() override { select(false); }
    void setAddrWindow(uint16_t x, uint16_t y, uint16_t w, uint16_t h);
    void writeColor(uint16_t color, uint32_t count);
    void writePixels(uint16_t *colors, uint32_t count);
    void pushColor(uint16_t color);
    void sendCommand(uint8_t command, const uint8_t *arguments = nullptr, uint8_t count = 0);
    static uint16_t color565(uint8_t red, uint8_t green, uint8_t blue) {
        return (uint16_t)((red & 0xf8) << 8 | (green & 0xfc) << 3 | blue >> 3);
    }

  protected:
    /* On the bus of SPI.h. A pin of -1 is not connected. */
    Microclaw_Tft(int16_t width, int16_t height, int cs, int dc, int rst)
        : Adafruit_GFX(width, height), send_(send_by_bus), cs_(cs), dc_(dc), rst_(rst) {}
    /* On any pins. */
    Microclaw_Tft(int16_t width, int16_t height, int cs, int dc, int mosi, int sck, int rst)
        : Adafruit_GFX(width, height), send_(send_by_pins), cs_(cs), dc_(dc), mosi_(mosi), sck_(sck), rst_(rst) {}
    /* In the header of a library, as only the program knows its board's pins. */
    void begin_bus() {
        if (has_own_pins()) {
            return;
        }
        microclaw_begin_spi(&SPI);
        if (SPI.pinSS() == cs_) {
            cs_ = -1; /* the bus itself pulls it down for each transfer */
        }
    }
    /* Another size than that of the constructor. `left` and `top`: where the panel is in the chip's memory. */
    void set_panel(int16_t width, int16_t height, int16_t left, int16_t top);
    /* Wakes the chip, clears its memory and switches it on. `turns` has the register MADCTL for each rotation. */
    void start(uint32_t clock_hz, uint8_t mode, const uint8_t *turns, bool is_inverse);

  private:
    enum { MEMORY_WIDTH = 240, MEMORY_HEIGHT = 320 };
    void select(bool on);
    void reset();
    bool has_own_pins() const { return sck_ >= 0; }
    void send(const uint8_t *bytes, uint32_t count) { send_(*this, bytes, count); }
    /* Apart: a program without the bus must not have its code, because stock firmware refuses that. */
    static void send_by_bus(Microclaw_Tft &tft, const uint8_t *bytes, uint32_t count);
    static void send_by_pins(Microclaw_Tft &tft, const uint8_t *bytes, uint32_t count);
    void place_window();
    int16_t panel_width_ = 0, panel_height_ = 0, left_ = 0, top_ = 0, window_left_ = 0, window_top_ = 0;
    void (*send_)(Microclaw_Tft &, const uint8_t *, uint32_t);
    int cs_, dc_, mosi_ = -1, sck_ = -1, rst_;
    uint32_t clock_hz_ = 0;
    uint8_t mode_ = SPI_MODE0, depth_ = 0;
    const uint8_t *turns_ = nullptr;
    bool is_inverse_ = false;
};

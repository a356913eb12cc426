/* microclaw_oled.h: what the libraries of monochrome OLEDs have in common: a picture in pages of 8 rows, which display() sends. */
#pragma once
#include <Adafruit_GFX.h>
#include <Wire.h>
class Microclaw_Oled : public Adafruit_GFX {
  public:
    void drawPixel(int16_t x, int16_t y, uint16_t color) override; /* 0: dark, 1: lit, 2: the other one */
    void fillRect(int16_t x, int16_t y, int16_t w, int16_t h, uint16_t color) override;
    void fillScreen(uint16_t color) override;
    void clearDisplay() { fillScreen(0); }
    bool getPixel(int16_t x, int16_t y) const;
    uint8_t *getBuffer() { return buffer_; }
    void setContrast(uint8_t contrast);
    void invertDisplay(bool on) override { command(on ? 0xa7 : 0xa6); }

  protected:
    Microclaw_Oled(uint16_t width, uint16_t height, TwoWire *wire, uint32_t during_hz, uint32_t after_hz)
        : Adafruit_GFX((int16_t)width, (int16_t)height), wire_(wire), during_hz_(during_hz), after_hz_(after_hz) {}
    /* False if nothing answers, or the picture has no room. An address of 0 is that of the one that answers. */
    bool find(uint8_t address);
    void command(uint8_t byte) { commands(&byte, 1); }
    bool commands(const uint8_t *bytes, size_t count);
    void data(const uint8_t *bytes, size_t count);
    /* Around transfers of one refresh: the bus has the display's clock, and then its own. */
    void begin_refresh() { wire_->setClock(during_hz_); }
    void end_refresh() { wire_->setClock(after_hz_); }
    void set_clock(uint32_t during_hz) { during_hz_ = during_hz; }
    uint8_t *page(int number) { return buffer_ + number * WIDTH; }
    int page_count() const { return (HEIGHT + 7) / 8; }
    uint8_t contrast_ = 0xcf;

  private:
    bool answers(uint8_t address);
    TwoWire *wire_;
    uint32_t during_hz_, after_hz_;
    uint8_t address_ = 0;
    uint8_t buffer_[1024] = {};
};

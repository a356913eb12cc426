/* Adafruit_ST7789.h: the color display on SPI, up to 240 x 320 pixels; our own code behind the names of the library. */
#pragma once
#include <microclaw_tft.h>
#define ST77XX_BLACK 0x0000
#define ST77XX_WHITE 0xFFFF
#define ST77XX_RED 0xF800
#define ST77XX_GREEN 0x07E0
#define ST77XX_BLUE 0x001F
#define ST77XX_CYAN 0x07FF
#define ST77XX_MAGENTA 0xF81F
#define ST77XX_YELLOW 0xFFE0
#define ST77XX_ORANGE 0xFC00
class Adafruit_ST7789 : public Microclaw_Tft {
  public:
    Adafruit_ST7789(int cs, int dc, int rst) MICROCLAW_SPI_PINS
        MICROCLAW_OPTIONAL_PIN(cs) MICROCLAW_OUTPUT_PIN(dc) MICROCLAW_OPTIONAL_PIN(rst)
        : Microclaw_Tft(240, 320, cs, dc, rst) {}
    Adafruit_ST7789(SPIClass *, int cs, int dc, int rst) MICROCLAW_SPI_PINS
        MICROCLAW_OPTIONAL_PIN(cs) MICROCLAW_OUTPUT_PIN(dc) MICROCLAW_OPTIONAL_PIN(rst)
        : Microclaw_Tft(240, 320, cs, dc, rst) {}
    Adafruit_ST7789(int cs, int dc, int mosi, int sck, int rst)
        MICROCLAW_OPTIONAL_PIN(cs) MICROCLAW_OUTPUT_PIN(dc) MICROCLAW_OUTPUT_PIN(mosi) MICROCLAW_OUTPUT_PIN(sck)
        MICROCLAW_OPTIONAL_PIN(rst)
        : Microclaw_Tft(240, 320, cs, dc, mosi, sck, rst) {}
    /* Here, as only the program knows its board's pins. */
    void init(uint16_t width, uint16_t height, uint8_t mode = SPI_MODE0) MICROCLAW_ATTRIBUTE(width) MICROCLAW_ATTRIBUTE(height) {
        begin_bus();
        show_panel(width, height, mode);
    }

  private:
    void show_panel(uint16_t width, uint16_t height, uint8_t mode);
};

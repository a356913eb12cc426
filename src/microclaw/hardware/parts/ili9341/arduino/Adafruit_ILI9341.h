/* Adafruit_ILI9341.h: the color display of 240 x 320 pixels on SPI; our own code behind the names of the library. Without touch. */
#pragma once
#include <microclaw_tft.h>
#define ILI9341_TFTWIDTH 240
#define ILI9341_TFTHEIGHT 320
#define ILI9341_BLACK 0x0000
#define ILI9341_NAVY 0x000F
#define ILI9341_DARKGREEN 0x03E0
#define ILI9341_DARKCYAN 0x03EF
#define ILI9341_MAROON 0x7800
#define ILI9341_PURPLE 0x780F
#define ILI9341_OLIVE 0x7BE0
#define ILI9341_LIGHTGREY 0xC618
#define ILI9341_DARKGREY 0x7BEF
#define ILI9341_BLUE 0x001F
#define ILI9341_GREEN 0x07E0
#define ILI9341_CYAN 0x07FF
#define ILI9341_RED 0xF800
#define ILI9341_MAGENTA 0xF81F
#define ILI9341_YELLOW 0xFFE0
#define ILI9341_WHITE 0xFFFF
#define ILI9341_ORANGE 0xFD20
#define ILI9341_GREENYELLOW 0xAFE5
#define ILI9341_PINK 0xFC18
class Adafruit_ILI9341 : public Microclaw_Tft {
  public:
    Adafruit_ILI9341(int cs, int dc, int rst = -1) MICROCLAW_SPI_PINS
        MICROCLAW_OPTIONAL_PIN(cs) MICROCLAW_OUTPUT_PIN(dc) MICROCLAW_OPTIONAL_PIN(rst)
        : Microclaw_Tft(ILI9341_TFTWIDTH, ILI9341_TFTHEIGHT, cs, dc, rst) {}
    Adafruit_ILI9341(SPIClass *, int dc, int cs = -1, int rst = -1) MICROCLAW_SPI_PINS
        MICROCLAW_OPTIONAL_PIN(cs) MICROCLAW_OUTPUT_PIN(dc) MICROCLAW_OPTIONAL_PIN(rst)
        : Microclaw_Tft(ILI9341_TFTWIDTH, ILI9341_TFTHEIGHT, cs, dc, rst) {}
    Adafruit_ILI9341(int cs, int dc, int mosi, int sck, int rst = -1, int = -1)
        MICROCLAW_OPTIONAL_PIN(cs) MICROCLAW_OUTPUT_PIN(dc) MICROCLAW_OUTPUT_PIN(mosi) MICROCLAW_OUTPUT_PIN(sck)
        MICROCLAW_OPTIONAL_PIN(rst)
        : Microclaw_Tft(ILI9341_TFTWIDTH, ILI9341_TFTHEIGHT, cs, dc, mosi, sck, rst) {}
    /* Here, as only the program knows its board's pins. */
    void begin(uint32_t clock_hz = 0) {
        begin_bus();
        show_panel(clock_hz);
    }

  private:
    void show_panel(uint32_t clock_hz);
};

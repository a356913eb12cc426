/* Adafruit_SSD1306.h: the OLED on I2C, up to 128 x 64 pixels; our own code behind the names of the library. Without its splash
 * screen. begin() is false if no display answers. */
#pragma once
#include <arduino/pin_arguments.h>
#include <microclaw_oled.h>
#define SSD1306_BLACK 0
#define SSD1306_WHITE 1
#define SSD1306_INVERSE 2
#ifndef NO_ADAFRUIT_SSD1306_COLOR_COMPATIBILITY
#define BLACK SSD1306_BLACK
#define WHITE SSD1306_WHITE
#define INVERSE SSD1306_INVERSE
#endif
#define SSD1306_LCDWIDTH 128
#define SSD1306_LCDHEIGHT 64
#define SSD1306_MEMORYMODE 0x20
#define SSD1306_COLUMNADDR 0x21
#define SSD1306_PAGEADDR 0x22
#define SSD1306_SETCONTRAST 0x81
#define SSD1306_CHARGEPUMP 0x8D
#define SSD1306_SEGREMAP 0xA0
#define SSD1306_DISPLAYALLON_RESUME 0xA4
#define SSD1306_DISPLAYALLON 0xA5
#define SSD1306_NORMALDISPLAY 0xA6
#define SSD1306_INVERTDISPLAY 0xA7
#define SSD1306_SETMULTIPLEX 0xA8
#define SSD1306_DISPLAYOFF 0xAE
#define SSD1306_DISPLAYON 0xAF
#define SSD1306_COMSCANINC 0xC0
#define SSD1306_COMSCANDEC 0xC8
#define SSD1306_SETDISPLAYOFFSET 0xD3
#define SSD1306_SETDISPLAYCLOCKDIV 0xD5
#define SSD1306_SETPRECHARGE 0xD9
#define SSD1306_SETCOMPINS 0xDA
#define SSD1306_SETVCOMDETECT 0xDB
#define SSD1306_SETLOWCOLUMN 0x00
#define SSD1306_SETHIGHCOLUMN 0x10
#define SSD1306_SETSTARTLINE 0x40
#define SSD1306_EXTERNALVCC 0x01
#define SSD1306_SWITCHCAPVCC 0x02
#define SSD1306_RIGHT_HORIZONTAL_SCROLL 0x26
#define SSD1306_LEFT_HORIZONTAL_SCROLL 0x27
#define SSD1306_VERTICAL_AND_RIGHT_HORIZONTAL_SCROLL 0x29
#define SSD1306_VERTICAL_AND_LEFT_HORIZONTAL_SCROLL 0x2A
#define SSD1306_DEACTIVATE_SCROLL 0x2E
#define SSD1306_ACTIVATE_SCROLL 0x2F
#define SSD1306_SET_VERTICAL_SCROLL_AREA 0xA3
class Adafruit_SSD1306 : public Microclaw_Oled {
  public:
    Adafruit_SSD1306(uint8_t width, uint8_t height, TwoWire *wire = &Wire, int8_t = -1, uint32_t during_hz = 400000,
                     uint32_t after_hz = 100000)
        MICROCLAW_ATTRIBUTE(width) MICROCLAW_ATTRIBUTE(height)
        : Microclaw_Oled(width, height, wire, during_hz, after_hz), bus_(wire) {}
    explicit Adafruit_SSD1306(int8_t = -1)
        : Microclaw_Oled(SSD1306_LCDWIDTH, SSD1306_LCDHEIGHT, &Wire, 400000, 100000), bus_(&Wire) {}
    /* Here, as only the program knows its board's pins. */
    bool begin(uint8_t supply = SSD1306_SWITCHCAPVCC, uint8_t address = 0, bool = true, bool opens_bus = true)
        MICROCLAW_I2C_PINS {
        return (!opens_bus || microclaw_begin_wire(bus_)) && start(supply, address);
    }
    void display();
    void dim(bool on);
    void ssd1306_command(uint8_t byte) { command(byte); }
    /* From page `first` to `last`, of 8 rows each. */
    void startscrollright(uint8_t first, uint8_t last) { scroll(SSD1306_RIGHT_HORIZONTAL_SCROLL, first, last); }
    void startscrollleft(uint8_t first, uint8_t last) { scroll(SSD1306_LEFT_HORIZONTAL_SCROLL, first, last); }
    void startscrolldiagright(uint8_t first, uint8_t last);
    void startscrolldiagleft(uint8_t first, uint8_t last);
    void stopscroll() { command(SSD1306_DEACTIVATE_SCROLL); }

  private:
    bool start(uint8_t supply, uint8_t address);
    void scroll(uint8_t direction, uint8_t first, uint8_t last);
    void scroll_diagonally(uint8_t direction, uint8_t first, uint8_t last);
    TwoWire *bus_;
};

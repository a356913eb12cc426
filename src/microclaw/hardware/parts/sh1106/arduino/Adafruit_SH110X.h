/* Adafruit_SH110X.h: the OLED with an SH1106 on I2C; our own code behind the names of the library. Without its splash screen and
 * without the SH1107. begin() is false if no display answers. */
#pragma once
#include <arduino/pin_arguments.h>
#include <microclaw_oled.h>
#define SH110X_BLACK 0
#define SH110X_WHITE 1
#define SH110X_INVERSE 2
#define SH110X_MEMORYMODE 0x20
#define SH110X_COLUMNADDR 0x21
#define SH110X_PAGEADDR 0x22
#define SH110X_SETCONTRAST 0x81
#define SH110X_CHARGEPUMP 0x8D
#define SH110X_SEGREMAP 0xA0
#define SH110X_DISPLAYALLON_RESUME 0xA4
#define SH110X_DISPLAYALLON 0xA5
#define SH110X_NORMALDISPLAY 0xA6
#define SH110X_INVERTDISPLAY 0xA7
#define SH110X_SETMULTIPLEX 0xA8
#define SH110X_DCDC 0xAD
#define SH110X_DISPLAYOFF 0xAE
#define SH110X_DISPLAYON 0xAF
#define SH110X_SETPAGEADDR 0xB0
#define SH110X_COMSCANINC 0xC0
#define SH110X_COMSCANDEC 0xC8
#define SH110X_SETDISPLAYOFFSET 0xD3
#define SH110X_SETDISPLAYCLOCKDIV 0xD5
#define SH110X_SETPRECHARGE 0xD9
#define SH110X_SETCOMPINS 0xDA
#define SH110X_SETVCOMDETECT 0xDB
#define SH110X_SETLOWCOLUMN 0x00
#define SH110X_SETHIGHCOLUMN 0x10
#define SH110X_SETSTARTLINE 0x40
class Adafruit_SH1106G : public Microclaw_Oled {
  public:
    Adafruit_SH1106G(uint16_t width, uint16_t height, TwoWire *wire = &Wire, int8_t = -1, uint32_t during_hz = 400000,
                     uint32_t after_hz = 100000)
        MICROCLAW_ATTRIBUTE(width) MICROCLAW_ATTRIBUTE(height)
        : Microclaw_Oled(width, height, wire, during_hz, after_hz), bus_(wire) {}
    /* Here, as only the program knows its board's pins. */
    bool begin(uint8_t address = 0x3c, bool = true) MICROCLAW_I2C_PINS {
        return microclaw_begin_wire(bus_) && start(address);
    }
    void display();
    void oled_command(uint8_t byte) { command(byte); }

  private:
    bool start(uint8_t address);
    TwoWire *bus_;
};

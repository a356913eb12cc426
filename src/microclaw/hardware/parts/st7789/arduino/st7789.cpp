#include <Adafruit_ST7789.h>

enum { CLOCK_HZ = 32000000, SQUARE = 240 };
/* The registers of the library: its rotation 0 is half a turn from the chip's. */
static const uint8_t TURNS[] = {0xc0, 0xa0, 0x00, 0x60};

/* Panels of 240 x 240 are at the begin of the chip's memory, which the library's half turn makes the end; others are in the
 * middle, with the odd column behind them. */
void Adafruit_ST7789::show_panel(uint16_t width, uint16_t height, uint8_t mode) {
    bool is_square = width == SQUARE && height == SQUARE;
    int16_t top = (int16_t)(is_square ? 320 - height : (320 - height) / 2);
    set_panel((int16_t)width, (int16_t)height, (int16_t)((241 - width) / 2), top);
    start(CLOCK_HZ, mode, TURNS, true);
}

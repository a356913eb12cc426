#include <Adafruit_ILI9341.h>

enum { CLOCK_HZ = 24000000 };
/* Blue first, and the first column on the right: the panel of the usual modules. */
static const uint8_t TURNS[] = {0x48, 0x28, 0x88, 0xe8};

void Adafruit_ILI9341::show_panel(uint32_t clock_hz) {
    set_panel(ILI9341_TFTWIDTH, ILI9341_TFTHEIGHT, 0, 0);
    start(clock_hz ? clock_hz : (uint32_t)CLOCK_HZ, SPI_MODE0, TURNS, false);
}

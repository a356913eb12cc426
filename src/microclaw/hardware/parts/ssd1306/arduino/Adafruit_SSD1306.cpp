/* Commands of the data sheet (SSD1306 rev 1.1: table 9-1). The panel stands in the middle of the chip's 128 columns. */
#include <Adafruit_SSD1306.h>

enum { COLUMNS = 128 };

bool Adafruit_SSD1306::start(uint8_t supply, uint8_t address) {
    if (!find(address)) {
        return false;
    }
    bool is_external = supply == SSD1306_EXTERNALVCC;
    const uint8_t pump = is_external ? 0x10 : 0x14, charge = is_external ? 0x22 : 0xf1;
    const uint8_t com_pins = WIDTH > 2 * HEIGHT ? 0x02 : 0x12;
    const uint8_t steps[] = {SSD1306_DISPLAYOFF,
                             SSD1306_SETDISPLAYCLOCKDIV, 0x80,
                             SSD1306_SETMULTIPLEX, (uint8_t)(HEIGHT - 1),
                             SSD1306_SETDISPLAYOFFSET, 0,
                             SSD1306_SETSTARTLINE,
                             SSD1306_CHARGEPUMP, pump,
                             SSD1306_MEMORYMODE, 0,
                             SSD1306_SEGREMAP | 1,
                             SSD1306_COMSCANDEC,
                             SSD1306_SETCOMPINS, com_pins,
                             SSD1306_SETCONTRAST, contrast_,
                             SSD1306_SETPRECHARGE, charge,
                             SSD1306_SETVCOMDETECT, 0x40,
                             SSD1306_DISPLAYALLON_RESUME,
                             SSD1306_NORMALDISPLAY,
                             SSD1306_DEACTIVATE_SCROLL};
    clearDisplay();
    begin_refresh();
    bool is_done = commands(steps, sizeof steps);
    end_refresh();
    /* The chip's memory has anything in it at first: it is cleared before it is seen. */
    display();
    command(SSD1306_DISPLAYON);
    return is_done;
}

void Adafruit_SSD1306::display() {
    uint8_t first = (uint8_t)((COLUMNS - WIDTH) / 2);
    const uint8_t window[] = {SSD1306_PAGEADDR,   0,     (uint8_t)(page_count() - 1),
                              SSD1306_COLUMNADDR, first, (uint8_t)(first + WIDTH - 1)};
    begin_refresh();
    commands(window, sizeof window);
    data(getBuffer(), (size_t)(WIDTH * page_count()));
    end_refresh();
}

void Adafruit_SSD1306::dim(bool on) {
    const uint8_t bytes[] = {SSD1306_SETCONTRAST, on ? (uint8_t)0 : contrast_};
    commands(bytes, sizeof bytes);
}

void Adafruit_SSD1306::scroll(uint8_t direction, uint8_t first, uint8_t last) {
    const uint8_t steps[] = {direction, 0, first, 0, last, 0, 0xff, SSD1306_ACTIVATE_SCROLL};
    commands(steps, sizeof steps);
}

void Adafruit_SSD1306::scroll_diagonally(uint8_t direction, uint8_t first, uint8_t last) {
    const uint8_t steps[] = {SSD1306_SET_VERTICAL_SCROLL_AREA, 0, (uint8_t)HEIGHT, direction, 0, first, 0, last, 1,
                             SSD1306_ACTIVATE_SCROLL};
    commands(steps, sizeof steps);
}

void Adafruit_SSD1306::startscrolldiagright(uint8_t first, uint8_t last) {
    scroll_diagonally(SSD1306_VERTICAL_AND_RIGHT_HORIZONTAL_SCROLL, first, last);
}

void Adafruit_SSD1306::startscrolldiagleft(uint8_t first, uint8_t last) {
    scroll_diagonally(SSD1306_VERTICAL_AND_LEFT_HORIZONTAL_SCROLL, first, last);
}

/* Commands of the data sheet (SH1106 V2.2). The panel stands in the middle of the chip's 132 columns; only a page is sent at once. */
#include <Adafruit_SH110X.h>

enum { COLUMNS = 132 };

bool Adafruit_SH1106G::start(uint8_t address) {
    if (!find(address)) {
        return false;
    }
    const uint8_t steps[] = {SH110X_DISPLAYOFF,
                             SH110X_SETDISPLAYCLOCKDIV, 0x80,
                             SH110X_SETMULTIPLEX, (uint8_t)(HEIGHT - 1),
                             SH110X_SETDISPLAYOFFSET, 0,
                             SH110X_SETSTARTLINE,
                             SH110X_DCDC, 0x8b,
                             SH110X_SEGREMAP | 1,
                             SH110X_COMSCANDEC,
                             SH110X_SETCOMPINS, 0x12,
                             SH110X_SETCONTRAST, contrast_,
                             SH110X_SETPRECHARGE, 0x1f,
                             SH110X_SETVCOMDETECT, 0x40,
                             0x33,
                             SH110X_NORMALDISPLAY,
                             SH110X_DISPLAYALLON_RESUME};
    clearDisplay();
    begin_refresh();
    bool is_done = commands(steps, sizeof steps);
    end_refresh();
    /* The chip's memory has anything in it at first: it is cleared before it is seen. */
    display();
    command(SH110X_DISPLAYON);
    return is_done;
}

void Adafruit_SH1106G::display() {
    uint8_t first = (uint8_t)((COLUMNS - WIDTH) / 2);
    begin_refresh();
    for (int number = 0; number < page_count(); number++) {
        const uint8_t place[] = {(uint8_t)(SH110X_SETPAGEADDR | number), (uint8_t)(SH110X_SETLOWCOLUMN | (first & 15)),
                                 (uint8_t)(SH110X_SETHIGHCOLUMN | first >> 4)};
        commands(place, sizeof place);
        data(page(number), (size_t)WIDTH);
    }
    end_refresh();
}

/* Both controllers are addressed page by page (SSD1306 rev 1.1: 10.1.3; SH1106 V2.2: command 12). */
#include <U8g2lib.h>

enum { OFF = 0xae, SET_PAGE = 0xb0, COLUMN_LOW = 0x00, COLUMN_HIGH = 0x10, SSD1306_COLUMNS = 128, SH1106_COLUMNS = 132 };

const u8g2_cb_t microclaw_u8g2_rotations[5] = {{0, false}, {1, false}, {2, false}, {3, false}, {0, true}};

bool Microclaw_U8g2Panel::start(uint8_t address) {
    if (!find(address)) {
        printf("U8g2: no display answers at 0x%02x\n", address);
        return false;
    }
    const uint8_t com_pins = WIDTH > 2 * HEIGHT ? 0x02 : 0x12;
    const uint8_t common[] = {OFF,  0xd5, 0x80, 0xa8, (uint8_t)(HEIGHT - 1), 0xd3, 0x00, 0x40, 0xa1, 0xc8, 0xda, com_pins,
                              0x81, 0xcf, 0xd9, 0xf1, 0xdb, 0x40, 0xa4, 0xa6};
    const uint8_t pump[] = {0x8d, 0x14, 0x20, 0x02, 0x2e}, converter[] = {0xad, 0x8b};
    commands(common, sizeof common);
    if (controller_ == MICROCLAW_SSD1306) {
        commands(pump, sizeof pump);
    } else {
        commands(converter, sizeof converter);
    }
    /* The chip's memory has anything in it at first: it is cleared before it is seen. */
    clearDisplay();
    send();
    power(true);
    return true;
}

void Microclaw_U8g2Panel::send() {
    int columns = controller_ == MICROCLAW_SSD1306 ? SSD1306_COLUMNS : SH1106_COLUMNS, first = (columns - WIDTH) / 2;
    begin_refresh();
    for (int number = 0; number < page_count(); number++) {
        const uint8_t place[] = {(uint8_t)(SET_PAGE | number), (uint8_t)(COLUMN_LOW | (first & 15)),
                                 (uint8_t)(COLUMN_HIGH | first >> 4)};
        commands(place, sizeof place);
        data(page(number), (size_t)WIDTH);
    }
    end_refresh();
}

/* The columns change with the next picture that is sent. */
void Microclaw_U8g2Panel::flip(bool on) {
    const uint8_t bytes[] = {(uint8_t)(on ? 0xa0 : 0xa1), (uint8_t)(on ? 0xc0 : 0xc8)};
    commands(bytes, sizeof bytes);
}

bool U8G2::start() { return panel_.start(address_); }

void U8G2::setDisplayRotation(const u8g2_cb_t *rotation) {
    panel_.setRotation(rotation->quarters);
    panel_.is_mirrored = rotation->is_mirrored;
}

void U8G2::clearDisplay() {
    clearBuffer();
    sendBuffer();
}

void U8G2::clear() {
    home();
    clearDisplay();
}

uint8_t U8G2::nextPage() {
    sendBuffer();
    return 0;
}

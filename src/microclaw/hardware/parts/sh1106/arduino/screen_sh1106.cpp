#include <Adafruit_SH110X.h>
#include <screen_oled.h>
#include <screen_sh1106.h>

enum { COLUMNS = 132 };

class Sh1106Panel : public Adafruit_SH1106G {
  public:
    Sh1106Panel(uint8_t width, uint8_t height) : Adafruit_SH1106G(width, height, &Wire) {}
    const uint8_t *picture(int number) { return page(number); }
    void send_page(int number) {
        uint8_t first = (uint8_t)((COLUMNS - WIDTH) / 2);
        const uint8_t place[] = {(uint8_t)(SH110X_SETPAGEADDR | number), (uint8_t)(SH110X_SETLOWCOLUMN | (first & 15)),
                                 (uint8_t)(SH110X_SETHIGHCOLUMN | first >> 4)};
        begin_refresh();
        commands(place, sizeof place);
        data(page(number), (size_t)WIDTH);
        end_refresh();
    }
};

int screen_sh1106(int sda, int scl, int width, int height, int address) {
    ScreenOled<Sh1106Panel> *screen = new ScreenOled<Sh1106Panel>(width, height);
    if (!Wire.begin(sda, scl) || !screen->panel.begin((uint8_t)address)) {
        printf("screen_sh1106: nothing answers at 0x%02x\n", address);
        delete screen;
        screen = nullptr;
    }
    return microclaw_add_screen(screen);
}

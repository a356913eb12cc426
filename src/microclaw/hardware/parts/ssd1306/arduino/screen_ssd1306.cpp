#include <Adafruit_SSD1306.h>
#include <screen_oled.h>
#include <screen_ssd1306.h>

enum { COLUMNS = 128 };

class Ssd1306Panel : public Adafruit_SSD1306 {
  public:
    Ssd1306Panel(uint8_t width, uint8_t height) : Adafruit_SSD1306(width, height, &Wire) {}
    const uint8_t *picture(int number) { return page(number); }
    void send_page(int number) {
        uint8_t first = (uint8_t)((COLUMNS - WIDTH) / 2);
        const uint8_t window[] = {SSD1306_PAGEADDR,   (uint8_t)number, (uint8_t)number,
                                  SSD1306_COLUMNADDR, first,           (uint8_t)(first + WIDTH - 1)};
        begin_refresh();
        commands(window, sizeof window);
        data(page(number), (size_t)WIDTH);
        end_refresh();
    }
};

int screen_ssd1306(int sda, int scl, int width, int height, int address) {
    ScreenOled<Ssd1306Panel> *screen = new ScreenOled<Ssd1306Panel>(width, height);
    if (!Wire.begin(sda, scl) || !screen->panel.begin(SSD1306_SWITCHCAPVCC, (uint8_t)address)) {
        printf("screen_ssd1306: nothing answers at 0x%02x\n", address);
        delete screen;
        screen = nullptr;
    }
    return microclaw_add_screen(screen);
}

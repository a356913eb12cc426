/* screen_oled.h: a screen on a monochrome OLED. A panel is a driver with `picture` and `send_page`; its display is clear at first.
 * Only pages that changed are sent. */
#pragma once
#include <screen_pixels.h>
#include <string.h>

template <typename Panel> class ScreenOled : public ScreenPixels {
  public:
    ScreenOled(int width, int height) : ScreenPixels(width, height), panel((uint8_t)width, (uint8_t)height) {}
    Panel panel;

  protected:
    void begin() override { panel.clearDisplay(); }
    void fill(int x, int y, int width, int height) override {
        panel.fillRect((int16_t)x, (int16_t)y, (int16_t)width, (int16_t)height, 1);
    }
    void end() override {
        for (int page = 0; page < height_ / 8; page++) {
            if (memcmp(panel.picture(page), shown_[page], (size_t)width_) != 0) {
                memcpy(shown_[page], panel.picture(page), (size_t)width_);
                panel.send_page(page);
            }
        }
    }

  private:
    uint8_t shown_[8][132] = {};
};

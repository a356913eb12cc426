#include <TM1637Display.h>
#include <screen_characters.h>
#include <screen_tm1637.h>

enum { DIGITS = 6 };

class Tm1637Screen : public ScreenDigits {
  public:
    Tm1637Screen(int clk, int dio, int digits, bool has_points)
        : ScreenDigits(digits, has_points), display_((uint8_t)clk, (uint8_t)dio) {
        /* The chip's memory has anything in it at first. */
        const uint8_t blank[DIGITS] = {};
        display_.setSegments(blank, DIGITS);
    }

  protected:
    void send(const uint8_t *segments, int count) override { display_.setSegments(segments, (uint8_t)count); }

  private:
    TM1637Display display_;
};

int screen_tm1637(int clk, int dio, int digits, int colon) {
    pinMode(clk, OUTPUT);
    pinMode(dio, OUTPUT);
    return microclaw_add_screen(new Tm1637Screen(clk, dio, digits < DIGITS ? digits : DIGITS, !colon));
}

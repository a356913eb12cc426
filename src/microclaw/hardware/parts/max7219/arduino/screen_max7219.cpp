#include <LedControl.h>
#include <screen_characters.h>
#include <screen_max7219.h>
#include <screen_pixels.h>

enum { MOST_CHIPS = 8, EDGE = 8, BRIGHTNESS = 8 };

static uint8_t mirrored_byte(uint8_t byte) {
    uint8_t other = 0;
    for (int bit = 0; bit < 8; bit++) {
        other = (uint8_t)(other << 1 | (byte >> bit & 1));
    }
    return other;
}

static void start(LedControl *chain) {
    for (int chip = 0; chip < chain->getDeviceCount(); chip++) {
        chain->clearDisplay(chip);
        chain->setIntensity(chip, BRIGHTNESS);
        chain->shutdown(chip, false);
    }
}

/* The first chip of the chain is the one on the right. */
class MatrixScreen : public ScreenPixels {
  public:
    MatrixScreen(int mosi, int sck, int cs, int count, bool is_mirrored)
        : ScreenPixels(EDGE * count, EDGE), chain_(mosi, sck, cs, count), count_(count), is_mirrored_(is_mirrored) {
        start(&chain_);
    }

  protected:
    void begin() override { memset(rows_, 0, sizeof rows_); }
    void fill(int x, int y, int width, int height) override {
        for (int place = 0; place < width * height; place++) {
            int column = x + place % width, row = y + place / width;
            if (column >= 0 && column < width_ && row >= 0 && row < EDGE) {
                rows_[column / EDGE][row] |= (uint8_t)(0x80 >> column % EDGE);
            }
        }
    }
    void end() override {
        for (int place = 0; place < count_ * EDGE; place++) {
            int chip = place / EDGE, row = place % EDGE;
            uint8_t byte = rows_[chip][row];
            if (byte != shown_[chip][row]) {
                shown_[chip][row] = byte;
                chain_.setRow(count_ - 1 - chip, row, is_mirrored_ ? mirrored_byte(byte) : byte);
            }
        }
    }

  private:
    LedControl chain_;
    int count_;
    bool is_mirrored_;
    uint8_t rows_[MOST_CHIPS][EDGE] = {}, shown_[MOST_CHIPS][EDGE] = {};
};

class ChainDigits : public ScreenDigits {
  public:
    ChainDigits(int mosi, int sck, int cs, int count, int digits)
        : ScreenDigits(count * digits, true), chain_(mosi, sck, cs, count), count_(count), digits_(digits) {
        start(&chain_);
    }

  protected:
    void send(const uint8_t *segments, int count) override {
        for (int place = 0; place < count; place++) {
            /* There segment a is bit 6, and g is bit 0. */
            uint8_t byte = (uint8_t)(mirrored_byte(segments[place] & 0x7f) >> 1 | (segments[place] & 0x80));
            chain_.setRow(count_ - 1 - place / digits_, digits_ - 1 - place % digits_, byte);
        }
    }

  private:
    LedControl chain_;
    int count_, digits_;
};

int screen_max7219(int sck, int mosi, int cs, int count, int digits, int mirrored) {
    int chips = count < MOST_CHIPS ? count : MOST_CHIPS;
    if (digits > 0) {
        return microclaw_add_screen(new ChainDigits(mosi, sck, cs, chips, digits));
    }
    return microclaw_add_screen(new MatrixScreen(mosi, sck, cs, chips, mirrored));
}

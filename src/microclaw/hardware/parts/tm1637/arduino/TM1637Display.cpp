/* Commands and digits of a TM1637 (Titan Micro V2.4: interface, instructions). */
#include <TM1637Display.h>

enum { MAX_DIGITS = 6, WRITE_DATA = 0x40, CONTROL = 0x80, DISPLAY_ON = 0x08, ADDRESS = 0xc0 };

static const uint8_t digits[] = {0x3f, 0x06, 0x5b, 0x4f, 0x66, 0x6d, 0x7d, 0x07, 0x7f, 0x6f, 0x77, 0x7c, 0x39, 0x5e, 0x79, 0x71};

TM1637Display::TM1637Display(uint8_t clk, uint8_t dio, unsigned int bit_delay_us)
    : clk_(clk), dio_(dio), bit_delay_us_(bit_delay_us) {}

void TM1637Display::setBrightness(uint8_t brightness, bool on) {
    control_ = (uint8_t)(CONTROL | (on ? DISPLAY_ON : 0) | (brightness & 7));
}

void TM1637Display::setSegments(const uint8_t segments[], uint8_t length, uint8_t pos) {
    digitalWrite(dio_, HIGH);
    digitalWrite(clk_, HIGH);
    transfer(WRITE_DATA, nullptr, 0);
    transfer((uint8_t)(ADDRESS | (pos & 7)), segments, length);
    transfer(control_, nullptr, 0);
}

void TM1637Display::clear() {
    const uint8_t blank[4] = {0, 0, 0, 0};
    setSegments(blank);
}

void TM1637Display::showNumberDec(int num, bool leading_zero, uint8_t length, uint8_t pos) {
    showNumberDecEx(num, 0, leading_zero, length, pos);
}

void TM1637Display::showNumberDecEx(int num, uint8_t dots, bool leading_zero, uint8_t length, uint8_t pos) {
    uint32_t number = num < 0 ? 0u - (uint32_t)num : (uint32_t)num;
    show(number, 10, num < 0, dots, leading_zero, length, pos);
}

void TM1637Display::showNumberHexEx(uint16_t num, uint8_t dots, bool leading_zero, uint8_t length, uint8_t pos) {
    show(num, 16, false, dots, leading_zero, length, pos);
}

uint8_t TM1637Display::encodeDigit(uint8_t digit) { return digits[digit & 0x0f]; }

void TM1637Display::show(uint32_t number, unsigned base, bool is_negative, uint8_t dots, bool leading_zero, uint8_t length,
                         uint8_t pos) {
    uint8_t segments[MAX_DIGITS] = {0};
    if (length > MAX_DIGITS) {
        length = MAX_DIGITS;
    }
    bool is_sign_due = is_negative;
    for (int i = length - 1; i >= 0; i--) {
        bool is_last = i == length - 1;
        if (number || is_last || leading_zero) {
            segments[i] = digits[number % base];
        } else if (is_sign_due) {
            segments[i] = SEG_G;
            is_sign_due = false;
        }
        number /= base;
    }
    if (is_sign_due && length) {
        segments[0] = SEG_G; /* with leading zeros the sign has the place of the first */
    }
    for (int i = 0; i < length; i++) {
        segments[i] |= dots << i & SEG_DP;
    }
    setSegments(segments, length, pos);
}

void TM1637Display::transfer(uint8_t command, const uint8_t *data, uint8_t size) {
    set(dio_, LOW);
    send(command);
    for (int i = 0; i < size; i++) {
        send(data[i]);
    }
    set(clk_, LOW);
    set(clk_, HIGH);
    set(dio_, HIGH);
}

void TM1637Display::send(uint8_t byte) {
    for (int bit = 0; bit < 8; bit++) {
        digitalWrite(clk_, LOW);
        set(dio_, byte >> bit & 1);
        set(clk_, HIGH);
    }
    /* The chip pulls DIO low from here on, for one clock. */
    digitalWrite(clk_, LOW);
    set(dio_, LOW);
    set(clk_, HIGH);
}

void TM1637Display::set(int pin, int level) {
    digitalWrite(pin, level);
    delayMicroseconds(bit_delay_us_);
}

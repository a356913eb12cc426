/* Quarters of a detent by the order of the pins' states, and detents by the state in which the knob latches. */
#include <RotaryEncoder.h>

enum { BOTH_LOW = 0, BOTH_HIGH = 3, DETENTS = 20, MINUTE_MS = 60000 };

/* Where each state (pin1 + 2 * pin2) stands in a cycle that counts up: 3, 1, 0, 2. */
static const uint8_t PLACES[] = {2, 1, 3, 0};

RotaryEncoder::RotaryEncoder(int pin1, int pin2, LatchMode mode) : pin1_(pin1), pin2_(pin2), mode_(mode) {
    pinMode(pin1, INPUT_PULLUP);
    pinMode(pin2, INPUT_PULLUP);
    state_ = digitalRead(pin1) | digitalRead(pin2) << 1;
}

RotaryEncoder::Direction RotaryEncoder::getDirection() {
    long turned = position_ - seen_;
    seen_ = position_;
    if (turned == 0) {
        return Direction::NOROTATION;
    }
    return turned > 0 ? Direction::CLOCKWISE : Direction::COUNTERCLOCKWISE;
}

void RotaryEncoder::setPosition(long position) {
    if (mode_ == LatchMode::TWO03) {
        quarters_ = position * 2 + (quarters_ & 1);
    } else {
        quarters_ = position * 4 + (quarters_ & 3);
    }
    position_ = position;
    seen_ = position;
}

void RotaryEncoder::tick() { tick(digitalRead(pin1_), digitalRead(pin2_)); }

void RotaryEncoder::tick(int signal1, int signal2) {
    int state = signal1 | signal2 << 1;
    if (state == state_) {
        return;
    }
    int way = (PLACES[state] - PLACES[state_]) & 3;
    state_ = state;
    if (way == 1) {
        quarters_++;
    } else if (way == 3) {
        quarters_--;
    }
    bool latches_low = mode_ != LatchMode::FOUR3;
    bool latches_high = mode_ != LatchMode::FOUR0;
    if ((state == BOTH_LOW && latches_low) || (state == BOTH_HIGH && latches_high)) {
        long position = mode_ == LatchMode::TWO03 ? quarters_ >> 1 : quarters_ >> 2;
        if (position != position_) {
            position_ = position;
            position_before_ms_ = position_ms_;
            position_ms_ = millis();
        }
    }
}

unsigned long RotaryEncoder::getRPM() const {
    unsigned long between_ms = position_ms_ - position_before_ms_;
    unsigned long since_ms = millis() - position_ms_;
    unsigned long detent_ms = between_ms > since_ms ? between_ms : since_ms;
    return detent_ms ? MINUTE_MS / (detent_ms * DETENTS) : 0;
}

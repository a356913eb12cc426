/* The coils of four steps, one after the other. */
#include <Stepper.h>

enum { STEPS = 4 };
static const unsigned long MINUTE_US = 60UL * 1000 * 1000;
/* Bit 0 is the first pin. */
static const uint8_t TWO_PINS[STEPS] = {0b10, 0b11, 0b01, 0b00};
static const uint8_t FOUR_PINS[STEPS] = {0b0101, 0b0110, 0b1010, 0b1001};

Stepper::Stepper(int steps_of_turn, int pin1, int pin2)
    : steps_of_turn_(steps_of_turn), pin_count_(2), pins_{pin1, pin2, 0, 0} {
    begin();
}

Stepper::Stepper(int steps_of_turn, int pin1, int pin2, int pin3, int pin4)
    : steps_of_turn_(steps_of_turn), pin_count_(4), pins_{pin1, pin2, pin3, pin4} {
    begin();
}

void Stepper::begin() {
    for (int i = 0; i < pin_count_; i++) {
        pinMode(pins_[i], OUTPUT);
    }
}

void Stepper::setSpeed(long turns_per_minute) {
    step_us_ = turns_per_minute > 0 ? MINUTE_US / (unsigned long)steps_of_turn_ / (unsigned long)turns_per_minute : 0;
}

void Stepper::step(int steps) {
    unsigned way = steps > 0 ? 1 : STEPS - 1;
    for (int left = steps > 0 ? steps : -steps; left > 0; left--) {
        unsigned long since_us = micros() - last_us_;
        if (since_us < step_us_) {
            delayMicroseconds(step_us_ - since_us);
        }
        last_us_ = micros();
        step_number_ = (step_number_ + way) % STEPS;
        energize();
    }
}

void Stepper::energize() {
    uint8_t coils = pin_count_ == 2 ? TWO_PINS[step_number_] : FOUR_PINS[step_number_];
    for (int i = 0; i < pin_count_; i++) {
        digitalWrite(pins_[i], coils >> i & 1);
    }
}

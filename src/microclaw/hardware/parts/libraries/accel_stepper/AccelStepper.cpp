/* The speed changes at each step: v² by twice the acceleration, and by so much less in time before the target. */
#include <AccelStepper.h>

enum { NO_PIN = 0xff };
static const float SECOND_US = 1000000;
/* The pins that are high in each step; bit 0 is the first pin. */
static const uint8_t TWO_PINS[] = {0b10, 0b11, 0b01, 0b00};
static const uint8_t FOUR_PINS[] = {0b0101, 0b0110, 0b1010, 0b1001};
static const uint8_t HALF_STEPS[] = {0b0001, 0b0101, 0b0100, 0b0110, 0b0010, 0b1010, 0b1000, 0b1001};

AccelStepper::AccelStepper(uint8_t interface, uint8_t pin1, uint8_t pin2, uint8_t pin3, uint8_t pin4, bool enable)
    : interface_(interface), pins_{pin1, pin2, pin3, pin4} {
    if (enable) {
        enableOutputs();
    }
}

AccelStepper::AccelStepper(void (*forward)(), void (*backward)())
    : interface_(FUNCTION), pins_{}, forward_(forward), backward_(backward) {}

void AccelStepper::moveTo(long absolute) {
    if (target_ != absolute) {
        target_ = absolute;
        plan();
    }
}

void AccelStepper::setCurrentPosition(long position) {
    position_ = position;
    target_ = position;
    set_speed(0);
}

void AccelStepper::setMaxSpeed(float steps_per_s) {
    max_speed_ = fabsf(steps_per_s);
    if (fabsf(speed_) > max_speed_) {
        plan();
    }
}

void AccelStepper::setAcceleration(float steps_per_s2) {
    if (steps_per_s2 != 0) {
        acceleration_ = fabsf(steps_per_s2);
        plan();
    }
}

void AccelStepper::setSpeed(float steps_per_s) { set_speed(constrain(steps_per_s, -max_speed_, max_speed_)); }

void AccelStepper::set_speed(float steps_per_s) {
    speed_ = steps_per_s;
    step_us_ = speed_ == 0 ? 0 : (unsigned long)(SECOND_US / fabsf(speed_));
}

/* Chooses the speed of the next step. */
void AccelStepper::plan() {
    long distance = distanceToGo();
    float change = 2 * acceleration_;
    float square = speed_ * speed_;
    if (distance == 0 && square <= change) {
        set_speed(0);
        return;
    }
    float way = distance > 0 ? 1.0f : -1.0f;
    if (speed_ == 0) {
        set_speed(way * fminf(sqrtf(change), max_speed_));
        return;
    }
    bool is_away = speed_ * way < 0;
    bool is_near = square / change >= (float)labs(distance);
    if (!is_away && !is_near) {
        set_speed(way * fminf(sqrtf(square + change), max_speed_));
        return;
    }
    float slower = square - change;
    if (slower > 0) {
        set_speed(copysignf(fminf(sqrtf(slower), max_speed_), speed_));
    } else {
        set_speed(way * fminf(sqrtf(change), max_speed_));
    }
}

bool AccelStepper::run() {
    if (runSpeed()) {
        plan();
    }
    return isRunning();
}

bool AccelStepper::runSpeed() {
    unsigned long now_us = micros();
    if (step_us_ == 0 || now_us - last_us_ < step_us_) {
        return false;
    }
    position_ += speed_ > 0 ? 1 : -1;
    make_step();
    last_us_ = now_us;
    return true;
}

bool AccelStepper::runSpeedToPosition() {
    if (target_ == position_) {
        return false;
    }
    set_speed(target_ > position_ ? fabsf(speed_) : -fabsf(speed_));
    return runSpeed();
}

void AccelStepper::runToPosition() {
    while (run()) {
        unsigned long since_us = micros() - last_us_;
        if (since_us < step_us_) {
            delayMicroseconds(step_us_ - since_us);
        }
    }
}

void AccelStepper::runToNewPosition(long position) {
    moveTo(position);
    runToPosition();
}

void AccelStepper::stop() {
    if (speed_ != 0) {
        long steps = (long)(speed_ * speed_ / (2 * acceleration_)) + 1;
        move(speed_ > 0 ? steps : -steps);
    }
}

void AccelStepper::make_step() {
    switch (interface_) {
    case FUNCTION:
        (speed_ > 0 ? forward_ : backward_)();
        break;
    case DRIVER:
        digitalWrite(pins_[1], (speed_ > 0) != is_direction_inverted_);
        digitalWrite(pins_[0], !is_step_inverted_);
        delayMicroseconds(pulse_us_);
        digitalWrite(pins_[0], is_step_inverted_);
        break;
    case FULL2WIRE:
        write_coils(TWO_PINS[position_ & 3]);
        break;
    case FULL4WIRE:
        write_coils(FOUR_PINS[position_ & 3]);
        break;
    case HALF4WIRE:
        write_coils(HALF_STEPS[position_ & 7]);
        break;
    default:
        break;
    }
}

void AccelStepper::write_coils(uint8_t coils) {
    int count = interface_ == FULL2WIRE ? 2 : 4;
    for (int i = 0; i < count; i++) {
        digitalWrite(pins_[i], coils >> i & 1);
    }
}

void AccelStepper::enableOutputs() {
    if (interface_ == FUNCTION) {
        return;
    }
    int count = interface_ == DRIVER || interface_ == FULL2WIRE ? 2 : 4;
    for (int i = 0; i < count; i++) {
        pinMode(pins_[i], OUTPUT);
    }
    setEnablePin(enable_pin_);
}

void AccelStepper::disableOutputs() {
    if (interface_ == FUNCTION) {
        return;
    }
    write_coils(0);
    if (enable_pin_ != NO_PIN) {
        digitalWrite(enable_pin_, is_enable_inverted_);
    }
}

void AccelStepper::setEnablePin(uint8_t pin) {
    enable_pin_ = pin;
    if (pin != NO_PIN) {
        pinMode(pin, OUTPUT);
        digitalWrite(pin, !is_enable_inverted_);
    }
}

void AccelStepper::setPinsInverted(bool direction, bool step, bool enable) {
    is_direction_inverted_ = direction;
    is_step_inverted_ = step;
    is_enable_inverted_ = enable;
}

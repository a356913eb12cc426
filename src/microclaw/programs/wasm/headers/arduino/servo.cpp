/* Servo on pwm_open: 20 ms in 8192 steps. */
#include <Servo.h>

#define PERIOD_US 20000
#define FULL_DUTY 8192

extern "C" int microclaw_pwm_open(int pin, int frequency_hz);
extern "C" void microclaw_pwm_set_duty(int pwm, unsigned duty);

#pragma clang diagnostic ignored "-Wuser-defined-warnings"
int Servo::attach(int pin, int min_us, int max_us) {
    if (min_us >= max_us || pin < 0 || pin > 63) {
        return -1;
    }
    detach();
    min_us_ = min_us;
    max_us_ = max_us;
    pwm_ = microclaw_pwm_open(pin, 1000000 / PERIOD_US);
    if (pwm_ < 0) {
        printf("Servo: pin %d gets no PWM, at most 3 pins have it\n", pin);
    }
    return pwm_;
}

void Servo::detach() {
    if (pwm_ >= 0) {
        pwm_close(pwm_);
    }
    pwm_ = -1;
}

void Servo::write(int angle) {
    if (angle >= 500) {
        writeMicroseconds(angle);
        return;
    }
    angle = angle < 0 ? 0 : angle > 180 ? 180 : angle;
    writeMicroseconds((int)(min_us_ + ((long)(max_us_ - min_us_) * angle + 90) / 180));
}

void Servo::writeMicroseconds(int us) {
    us_ = us < min_us_ ? min_us_ : us > max_us_ ? max_us_ : us;
    if (pwm_ >= 0) {
        microclaw_pwm_set_duty(pwm_, ((unsigned)us_ * FULL_DUTY + PERIOD_US / 2) / PERIOD_US);
    }
}

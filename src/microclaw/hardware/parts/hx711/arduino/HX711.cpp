/* 24 bits at the pulses of the clock, and one to three more for the next reading's input. */
#include <HX711.h>

enum { BITS = 24, SIGN = 0x800000, POWER_DOWN_US = 80 };

void HX711::begin(int dout, int sck, byte gain) {
    data_ = dout;
    clock_ = sck;
    pinMode(clock_, OUTPUT);
    digitalWrite(clock_, LOW);
    pinMode(data_, INPUT_PULLUP);
    set_gain(gain);
}

void HX711::set_gain(byte gain) {
    if (gain == 64) {
        extra_pulses_ = 3;
    } else if (gain == 32) {
        extra_pulses_ = 2;
    } else {
        extra_pulses_ = 1;
    }
}

int HX711::pulse() {
    digitalWrite(clock_, HIGH);
    digitalWrite(clock_, LOW);
    return digitalRead(data_);
}

long HX711::read() {
    wait_ready(1);
    long bits = 0;
    for (int i = 0; i < BITS; i++) {
        bits = bits << 1 | pulse();
    }
    for (int i = 0; i < extra_pulses_; i++) {
        pulse();
    }
    return bits & SIGN ? bits - 2 * SIGN : bits;
}

long HX711::read_average(byte times) {
    double sum = 0;
    for (byte i = 0; i < times; i++) {
        sum += (double)read();
    }
    return times ? (long)(sum / times) : 0;
}

void HX711::wait_ready(unsigned long delay_ms) {
    while (!is_ready()) {
        delay(delay_ms ? delay_ms : 1);
    }
}

bool HX711::wait_ready_retry(int retries, unsigned long delay_ms) {
    for (int i = 0; i < retries; i++) {
        if (is_ready()) {
            return true;
        }
        delay(delay_ms);
    }
    return false;
}

bool HX711::wait_ready_timeout(unsigned long timeout_ms, unsigned long delay_ms) {
    unsigned long began_ms = millis();
    while (millis() - began_ms < timeout_ms) {
        if (is_ready()) {
            return true;
        }
        delay(delay_ms ? delay_ms : 1);
    }
    return false;
}

void HX711::power_down() {
    digitalWrite(clock_, LOW);
    digitalWrite(clock_, HIGH);
    delayMicroseconds(POWER_DOWN_US);
}

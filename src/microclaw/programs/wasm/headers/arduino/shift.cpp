/* Arduino.h's shiftOut, shiftIn and pulseIn. */
#include <Arduino.h>

void shiftOut(uint8_t data_pin, uint8_t clock_pin, uint8_t order, uint8_t value) {
    for (int i = 0; i < 8; i++) {
        digitalWrite(data_pin, value >> (order == LSBFIRST ? i : 7 - i) & 1);
        digitalWrite(clock_pin, HIGH);
        digitalWrite(clock_pin, LOW);
    }
}

uint8_t shiftIn(uint8_t data_pin, uint8_t clock_pin, uint8_t order) {
    uint8_t value = 0;
    for (int i = 0; i < 8; i++) {
        digitalWrite(clock_pin, HIGH);
        value |= (uint8_t)(digitalRead(data_pin) << (order == LSBFIRST ? i : 7 - i));
        digitalWrite(clock_pin, LOW);
    }
    return value;
}

static unsigned long until(int pin, int level, unsigned long began, unsigned long timeout_us) {
    while (micros() - began < timeout_us) {
        if (digitalRead(pin) == level) {
            return micros();
        }
    }
    return 0;
}

/* As on every Arduino: a pulse that is under way is waited out first. */
unsigned long pulseIn(uint8_t pin, uint8_t level, unsigned long timeout_us) {
    unsigned long began = micros();
    if (!until(pin, !level, began, timeout_us)) {
        return 0;
    }
    unsigned long begin = until(pin, level, began, timeout_us);
    unsigned long end = begin ? until(pin, !level, began, timeout_us) : 0;
    return end ? end - begin : 0;
}

/* Arduino.h's attachInterrupt, by looking at the pins from a timer. */
#include <Arduino.h>

#define PINS 8
#define EVERY_MS 5

static struct {
    int pin; /* + 1; 0: free */
    int mode, before;
    bool disabled;
    void (*plain)();
    void (*task)(void *);
    void *value;
} watched[PINS];
static bool started;

static bool is_met(int mode, int before, int now) {
    switch (mode) {
    case CHANGE:
        return now != before;
    case RISING:
        return now && !before;
    case FALLING:
        return !now && before;
    case ONHIGH:
        return now;
    default:
        return !now;
    }
}

static void look() {
    for (auto &each : watched) {
        if (!each.pin) {
            continue;
        }
        int now = digitalRead(each.pin - 1), before = each.before;
        each.before = now;
        if (!each.disabled && is_met(each.mode, before, now)) {
            each.plain ? each.plain() : each.task(each.value);
        }
    }
}

void detachInterrupt(uint8_t pin) {
    for (auto &each : watched) {
        if (each.pin == pin + 1) {
            each.pin = 0;
        }
    }
}

static void disable(int pin, bool disabled) {
    for (auto &each : watched) {
        if (each.pin == pin + 1) {
            each.disabled = disabled;
        }
    }
}

void enableInterrupt(uint8_t pin) { disable(pin, false); }
void disableInterrupt(uint8_t pin) { disable(pin, true); }

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wuser-defined-warnings"
static void watch(int pin, int mode, void (*plain)(), void (*task)(void *), void *value) {
    detachInterrupt(pin);
    for (auto &each : watched) {
        if (!each.pin && (plain || task)) {
            each = {pin + 1, mode, digitalRead(pin), false, plain, task, value};
            started = started || every(EVERY_MS, look) >= 0;
            return;
        }
    }
    printf("attachInterrupt: at most %d pins\n", PINS);
}
#pragma clang diagnostic pop

void attachInterrupt(uint8_t pin, void (*task)(), int mode) { watch(pin, mode, task, nullptr, nullptr); }

void attachInterruptArg(uint8_t pin, void (*task)(void *), void *value, int mode) { watch(pin, mode, nullptr, task, value); }

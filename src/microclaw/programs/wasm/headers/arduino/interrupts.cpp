/* Arduino.h's attachInterrupt, by looking at the pins from a timer. */
#include <Arduino.h>

#define PINS 8
#define EVERY_MS 5

static struct {
    int pin; /* + 1; 0: free */
    int mode, before;
    void (*task)();
} watched[PINS];
static bool started;

static void look() {
    for (auto &each : watched) {
        if (!each.pin) {
            continue;
        }
        int now = digitalRead(each.pin - 1), before = each.before;
        each.before = now;
        bool changed = now != before;
        if (each.mode == CHANGE ? changed : each.mode == RISING ? changed && now : each.mode == FALLING ? changed && !now : now == each.mode) {
            each.task();
        }
    }
}

void detachInterrupt(int pin) {
    for (auto &each : watched) {
        if (each.pin == pin + 1) {
            each.pin = 0;
        }
    }
}

#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wuser-defined-warnings"
void attachInterrupt(int pin, void (*task)(), int mode) {
    detachInterrupt(pin);
    for (auto &each : watched) {
        if (!each.pin && task) {
            each.mode = mode;
            each.task = task;
            each.before = digitalRead(pin);
            each.pin = pin + 1;
            started = started || every(EVERY_MS, look) >= 0;
            return;
        }
    }
    printf("attachInterrupt: at most %d pins\n", PINS);
}
#pragma clang diagnostic pop

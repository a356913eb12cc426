/* Arduino.h's digital pins on those of microclaw.h: opened when they are first named. */
#include "arduino.h"
#include "glue.h"
#include <microclaw.h>
#include <unistd.h>

#define PINS 64

static struct {
    short gpio; /* + 1; 0 is not open */
    short mode;
    bool input; /* pinMode made it one: what is written to it does not drive it */
} pins[PINS];

/* With analogWrite in the program, arduino_pwm.c has this. */
__attribute__((weak)) bool microclaw_pwm_write(int pin, int duty) {
    (void)pin;
    (void)duty;
    return false;
}

void microclaw_release_pin(int pin) {
    if (pins[pin].gpio) {
        gpio_close(pins[pin].gpio - 1);
        pins[pin].gpio = 0;
    }
}

static int open_pin(int pin, int mode) {
    if (pin < 0 || pin >= PINS) {
        return -1;
    }
    if (pins[pin].gpio && pins[pin].mode != mode) {
        microclaw_release_pin(pin);
    }
    if (!pins[pin].gpio) {
        pins[pin].gpio = (short)(gpio_open(pin, mode) + 1);
        pins[pin].mode = (short)mode;
    }
    return pins[pin].gpio - 1;
}

static bool is_open(int pin) { return pin >= 0 && pin < PINS && pins[pin].gpio; }

void pinMode(uint8_t pin, uint8_t mode) {
    open_pin(pin, mode);
    if (pin < PINS) {
        pins[pin].input = !(mode & GPIO_OUT);
    }
}

void digitalWrite(uint8_t pin, uint8_t level) {
    if (microclaw_pwm_write(pin, level ? 255 : 0)) {
        return;
    }
    if (is_open(pin) && pins[pin].input) {
        /* The firmware refuses it, as the pin drives nothing: a trial warns of it. */
        uint8_t byte = level != 0;
        (void)!write(pins[pin].gpio - 1 - FIRST_GPIO, &byte, 1);
        return;
    }
    bool output = is_open(pin) && pins[pin].mode & GPIO_OUT;
    int gpio = output ? pins[pin].gpio - 1 : open_pin(pin, GPIO_IN | GPIO_OUT);
    if (gpio >= 0) {
        gpio_set(gpio, level);
    }
}

int digitalRead(uint8_t pin) {
    int gpio = is_open(pin) ? pins[pin].gpio - 1 : open_pin(pin, GPIO_IN);
    return gpio >= 0 ? gpio_get(gpio) : 0;
}

/* Button: the LED is on while the button, which connects its pin to ground, is pressed. */
#include "microclaw.h"

#define BUTTON_PIN 0
#define LED_PIN 2

static int button, led, was_pressed;

static void look(void) {
    int pressed = !gpio_get(button);
    if (pressed != was_pressed) {
        gpio_set(led, pressed);
        printf("button %s\n", pressed ? "pressed" : "released");
    }
    was_pressed = pressed;
}

void on_init(void) {
    button = gpio_open(BUTTON_PIN, GPIO_IN | GPIO_PULLUP);
    led = gpio_open(LED_PIN, GPIO_OUT);
    printf("watching the button on pin %d\n", BUTTON_PIN);
    every(20, look);
}

/* Button: the LED is on while the button, which connects its
 * pin to ground, is pressed. ON is the level that lights: 0
 * where the LED is lit by low. */
#include "microclaw.h"

#define BUTTON_PIN 0
#define LED_PIN 2
#define ON 1

static int button, led, was_pressed;

static void look(void) {
    int pressed = !gpio_get(button);
    if (pressed != was_pressed) {
        gpio_set(led, pressed ? ON : !ON);
        printf("button %s\n", pressed ? "pressed" : "released");
    }
    was_pressed = pressed;
}

void on_init(void) {
    button = gpio_open(BUTTON_PIN, GPIO_IN | GPIO_PULLUP);
    led = gpio_open(LED_PIN, GPIO_OUT);
    if (!ON) {
        gpio_set(led, 1); /* a pin starts low */
    }
    printf("watching the button on pin %d\n", BUTTON_PIN);
    every(20, look);
}

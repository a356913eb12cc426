/* Button toggle: each press of the button, which connects its pin
 * to ground, switches the LED on or off. ON is the level that
 * lights: 0 where the LED is lit by low. */
#include "microclaw.h"

#define BUTTON_PIN 4
#define LED_PIN 5
#define ON 1
#define LOOK_MS 20

static int button, led, is_on, was_down, is_pressed;

static void look(void) {
    int is_down = !gpio_get(button);
    /* Contacts bounce, so two looks must agree. */
    if (is_down == was_down && is_down != is_pressed) {
        is_pressed = is_down;
        if (is_pressed) {
            is_on = !is_on;
            gpio_set(led, is_on ? ON : !ON);
            printf("led %s\n", is_on ? "on" : "off");
        }
    }
    was_down = is_down;
}

void on_init(void) {
    button = gpio_open(BUTTON_PIN, GPIO_IN | GPIO_PULLUP);
    led = gpio_open(LED_PIN, GPIO_OUT);
    if (!ON) {
        gpio_set(led, 1); /* a pin starts low */
    }
    every(LOOK_MS, look);
}

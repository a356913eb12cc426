/* Button: the LED is on while the button, which connects its
 * pin to ground, is pressed. ON is the level that lights: 0
 * where the LED is lit by low. */
#include "microclaw.h"

#define BUTTON_PIN 0
#define LED_PIN 2
#define ON 1

int main(void) {
    int button = gpio_open(BUTTON_PIN, GPIO_IN | GPIO_PULLUP);
    int led = gpio_open(LED_PIN, GPIO_OUT);
    int was_pressed = 0;
    if (!ON) {
        gpio_set(led, 1); /* a pin starts low */
    }
    printf("watching the button on pin %d\n", BUTTON_PIN);
    for (;; delay(20)) {
        int pressed = !gpio_get(button);
        if (pressed != was_pressed) {
            gpio_set(led, pressed ? ON : !ON);
            printf("button %s\n", pressed ? "pressed" : "released");
        }
        was_pressed = pressed;
    }
}

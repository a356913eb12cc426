/* Button counter: each press of a button, which connects its pin
 * to ground, counts once. A level counts when it held for
 * DEBOUNCE_MS. */
#include "microclaw.h"

#define PIN 4
#define DEBOUNCE_MS 25
#define LOOK_MS 5

static int button, state = 1, last = 1, same_ms, count;

static void look(void) {
    int level = gpio_get(button);
    same_ms = level == last ? same_ms + LOOK_MS : 0;
    last = level;
    if (level != state && same_ms >= DEBOUNCE_MS) {
        state = level;
        if (!level) {
            printf("count %d\n", ++count);
        }
    }
}

void on_init(void) {
    button = gpio_open(PIN, GPIO_IN | GPIO_PULLUP);
    every(LOOK_MS, look);
}

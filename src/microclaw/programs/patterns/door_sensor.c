/* Door sensor: a reed contact connects its pin to ground while
 * the door is closed. What changes is printed, after LOOK_MS
 * three times the same. */
#include "microclaw.h"

#define PIN 4
#define LOOK_MS 20

static int contact, state = -1, last = -1, same;

static void look(void) {
    int level = gpio_get(contact);
    same = level == last ? same + 1 : 0;
    last = level;
    if (same >= 2 && level != state) {
        if (state >= 0) {
            printf("door %s\n", level ? "open" : "closed");
        }
        state = level;
    }
}

void on_init(void) {
    contact = gpio_open(PIN, GPIO_IN | GPIO_PULLUP);
    every(LOOK_MS, look);
}

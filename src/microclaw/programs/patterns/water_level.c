/* Water level: float switches connect their pins to ground while
 * water covers them. The pump runs from when the lower one is dry
 * until the upper one is covered. A level counts after five equal
 * looks: water has waves. */
#include "microclaw.h"

#define LOW_PIN 4
#define FULL_PIN 5
#define PUMP_PIN 6
#define LOOK_MS 100

static int lower, upper, pump, runs, last = -1, same, told;

static void look(void) {
    int levels = gpio_get(lower) << 1 | gpio_get(upper); /* 1 is dry */
    same = levels == last ? same + 1 : 0;
    last = levels;
    if (same < 4) {
        return;
    }
    int is_fault = levels == 2; /* the upper one is covered, the lower one is not */
    if (is_fault && !told) {
        printf("fault: the upper float is covered and the lower one is not\n");
    }
    told = is_fault;
    int wanted = levels == 3 || (levels == 1 && runs);
    if (wanted != runs) {
        gpio_set(pump, wanted);
        printf("pump %s\n", wanted ? "on" : "off");
        runs = wanted;
    }
}

void on_init(void) {
    lower = gpio_open(LOW_PIN, GPIO_IN | GPIO_PULLUP);
    upper = gpio_open(FULL_PIN, GPIO_IN | GPIO_PULLUP);
    pump = gpio_open(PUMP_PIN, GPIO_OUT);
    every(LOOK_MS, look);
}

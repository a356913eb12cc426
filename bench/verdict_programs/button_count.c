#include "microclaw.h"
static int button, was = 1, same, count, stable = 1;
static void look(void) {
    int now = gpio_get(button);
    same = now == was ? same + 1 : 0;
    was = now;
    if (same >= 5 && now != stable) {
        stable = now;
        if (now == 0) {
            count++;
            printf("count %d\n", count);
        }
    }
}
void on_init(void) {
    button = gpio_open(6, GPIO_IN | GPIO_PULLUP);
    every(5, look);
}

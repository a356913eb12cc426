#include <microclaw.h>

typedef enum { CARS, CARS_YELLOW, WALK, CARS_READY } state_t;

static const char *const names[] = {"cars go", "yellow", "walk", "red and yellow"};
static const int pins[4][3] = {{0, 0, 1}, {0, 1, 0}, {1, 0, 0}, {1, 1, 0}};
static int lamps[3];

static void show(state_t s)
{
    for (int i = 0; i < 3; i++)
        gpio_set(lamps[i], pins[s][i]);
    printf("%d%d%d %s\n", gpio_get(lamps[0]), gpio_get(lamps[1]), gpio_get(lamps[2]), names[s]);
}

int main(void)
{
    for (int i = 0; i < 3; i++)
        lamps[i] = gpio_open(4 + i, GPIO_OUT);
    const int pressed_at[] = {3, 4, 11};
    state_t state = CARS;
    int left = 0, waiting = 0, next = 0;
    show(state);
    for (int second = 0; second < 20; second++) {
        if (next < 3 && pressed_at[next] == second) {
            waiting = 1;
            next++;
        }
        if (left > 0 && --left > 0) {
            delay(1000);
            continue;
        }
        switch (state) {
        case CARS:
            if (!waiting)
                break;
            waiting = 0;
            state = CARS_YELLOW;
            left = 1;
            show(state);
            break;
        case CARS_YELLOW:
            state = WALK;
            left = 3;
            show(state);
            break;
        case WALK:
            state = CARS_READY;
            left = 1;
            show(state);
            break;
        case CARS_READY:
            state = CARS;
            show(state);
            break;
        }
        delay(1000);
    }
    return (int)state;
}

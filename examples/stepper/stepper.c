/* Stepper: the motor on a ULN2003 board turns by ROUNDS of four
 * full steps, once; 512 of a 28BYJ-48 are a turn. BACK 1 is the
 * other way. */
#include "microclaw.h"

#define IN1_PIN 4
#define IN2_PIN 5
#define IN3_PIN 6
#define IN4_PIN 7
#define ROUNDS 512
#define BACK 0
#define STEP_MS 3

static int coils[4], timer, place, left = 4 * ROUNDS;

static void step(void) {
    if (left == 0) {
        cancel(timer);
        for (int i = 0; i < 4; i++) {
            gpio_set(coils[i], 0);
        }
        printf("done\n");
        return;
    }
    left--;
    place = (place + (BACK ? 3 : 1)) % 4;
    for (int i = 0; i < 4; i++) {
        gpio_set(coils[i], i == place || i == (place + 1) % 4);
    }
}

void on_init(void) {
    coils[0] = gpio_open(IN1_PIN, GPIO_OUT);
    coils[1] = gpio_open(IN2_PIN, GPIO_OUT);
    coils[2] = gpio_open(IN3_PIN, GPIO_OUT);
    coils[3] = gpio_open(IN4_PIN, GPIO_OUT);
    timer = every(STEP_MS, step);
}

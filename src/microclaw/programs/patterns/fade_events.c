/* Fade: the brightness of the pin rises and falls once in
 * PERIOD_MS, forever. ON is the level that lights: 0 where the
 * LED is lit by low. */
#include "microclaw.h"

#define PIN 5
#define PERIOD_MS 2000
#define STEP_MS 20
#define ON 1

static int led, position_ms;

static void step(void) {
    position_ms = (position_ms + STEP_MS) % PERIOD_MS;
    int level = position_ms * 510 / PERIOD_MS; /* 510: up and down */
    int duty = level <= 255 ? level : 510 - level;
    pwm_set(led, ON ? duty : 255 - duty);
}

void on_init(void) {
    led = pwm_open(PIN, 1000);
    every(STEP_MS, step);
}

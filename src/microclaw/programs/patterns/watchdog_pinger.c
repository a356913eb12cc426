/* Watchdog pinger: a pulse of PULSE_MS each EVERY_MS feeds a
 * watchdog chip, which resets the board when they stop. */
#include "microclaw.h"

#define PIN 4
#define EVERY_MS 1000
#define PULSE_MS 20

static int output;

static void end(void) { gpio_set(output, 0); }

static void ping(void) {
    gpio_set(output, 1);
    after(PULSE_MS, end);
}

void on_init(void) {
    output = gpio_open(PIN, GPIO_OUT);
    ping();
    every(EVERY_MS, ping);
}

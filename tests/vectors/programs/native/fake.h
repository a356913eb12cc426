/* fake.h: enough of the board for a native build of these programs: a clock that only sleeping moves. Included before each
 * program by `-include`; it ends the program after LONGEST_MS of its time. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LONGEST_MS 45000
static uint64_t fake_now_us;

static inline int fake_sleep_us(uint64_t us) {
    fake_now_us += us;
    if (fake_now_us > LONGEST_MS * 1000ull) {
        exit(0);
    }
    return 0;
}
#define sleep(s) fake_sleep_us((s) * 1000000ull)
#define usleep(us) fake_sleep_us(us)
static inline void delay(unsigned ms) { fake_sleep_us(ms * 1000ull); }
static inline unsigned millis(void) { return (unsigned)(fake_now_us / 1000); }

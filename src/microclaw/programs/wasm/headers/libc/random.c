/* rand_r, and random with a state of its own: xorshift, 31 bits. */
#include "libc.h"

static unsigned step(unsigned *state) {
    unsigned x = *state ? *state : 0x9e3779b9u;
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return x & 0x7fffffff;
}

static unsigned state = 1;

WEAK int rand_r(unsigned *seed) { return (int)step(seed); }

WEAK long random(void) { return (long)step(&state); }

WEAK void srandom(unsigned seed) { state = seed; }

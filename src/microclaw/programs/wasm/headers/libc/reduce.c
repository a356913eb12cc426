/* An angle less its multiple of pi/2, for angles of every size. */
#include "real.h"

#define WORDS 7

/* 2/pi in words of 32 bits, as far as the largest double needs it. */
static const uint32_t two_over_pi[] = {
    0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561, 0xb7246e3a, 0x424dd2e0,
    0x06492eea, 0x09d1921c, 0xfe1deb1c, 0xb129a73e, 0xe88235f5, 0x2ebb4484, 0xe99c7026, 0xb45f7e41, 0x3991d639, 0x835339f4,
    0x9c845f8b, 0xbdf9283b, 0x1ff897ff, 0xde05980f, 0xef2f118b, 0x5a0a6d1f, 0x6d367ecf, 0x27cb09b7, 0x4f463f66, 0x9e5fea2d,
    0x7527bac7, 0xebe5f17b, 0x3d0739f7, 0x8a5292ea, 0x6bfb5fb1, 0x1f8d5d08, 0x56033046, 0xfc7b6bab,
};

/* a + b exactly: the rounded sum and what it lacks. */
static double sum_of(double a, double b, double *lacks) {
    double sum = a + b, part = sum - a;
    *lacks = (a - (sum - part)) + (b - part);
    return sum;
}

static int medium(double x, double rest[2]) {
    double k = __builtin_rint(x * 0x1.45f306dc9c883p-1), e1, e2;
    /* pi/2 in parts of 33 bits: times k of 20 bits they are exact. */
    double r = sum_of(x - k * 0x1.921fb544p+0, -(k * 0x1.0b4611a6p-34), &e1);
    r = sum_of(r, -(k * 0x1.3198a2ep-69), &e2);
    double low = e1 + e2 - k * 0x1.b839a252049c1p-104;
    rest[0] = r + low;
    rest[1] = r - rest[0] + low;
    return (int)k;
}

/* 64 bits of a number in words, least significant first, from a bit on. */
static uint64_t window(const uint32_t *words, unsigned bit) {
    unsigned i = bit / 32, shift = bit % 32;
    uint64_t value = (uint64_t)words[i + 1] << 32 | words[i];
    return shift ? value >> shift | (uint64_t)words[i + 2] << (64 - shift) : value;
}

/* high and low times pi/2. */
static void times_half_pi(double high, double low, double rest[2]) {
    double top = of_bits(bits_of(high) >> 27 << 27), bottom = high - top;
    double pi_top = 0x1.921fb54p+0, pi_bottom = 0x1.10b4611a62633p-30;
    double exact = top * pi_top, small = top * pi_bottom + bottom * (pi_top + pi_bottom) + low * (0.5 * PI_HIGH);
    rest[0] = exact + small;
    rest[1] = exact - rest[0] + small;
}

/* Of x times 2/pi only those words count that give no multiple of 4 and are not below everything. */
static int large(double x, double rest[2]) {
    uint64_t mantissa = (bits_of(x) & ((1ull << 52) - 1)) | 1ull << 52;
    int exponent = (int)(bits_of(x) >> 52 & 2047) - 1075, skipped = exponent > 2 ? (exponent - 2) / 32 : 0;
    uint32_t product[WORDS + 4] = {0};
    for (int i = 0; i < WORDS; i++) {
        uint64_t word = two_over_pi[skipped + WORDS - 1 - i];
        uint64_t low = word * (uint32_t)mantissa + product[i];
        uint64_t high = word * (mantissa >> 32) + product[i + 1] + (low >> 32);
        product[i] = (uint32_t)low;
        product[i + 1] = (uint32_t)high;
        product[i + 2] = (uint32_t)(high >> 32);
    }
    unsigned point = (unsigned)(32 * (skipped + WORDS) - exponent);
    int quadrant = (int)(window(product, point) & 3);
    uint64_t high = window(product, point - 64), low = window(product, point - 128);
    bool up = high >> 63;
    if (up) {
        quadrant++;
        low = ~low + 1;
        high = ~high + !low;
    }
    int zeros = 0;
    for (; !(high >> 63) && zeros < 120; zeros++) {
        high = high << 1 | low >> 63;
        low <<= 1;
    }
    double top = (double)(high >> 11), bottom = (double)((high & 2047) << 42 | low >> 22) * 0x1p-53;
    double scale = microclaw_scaled(up ? -1 : 1, -53 - zeros);
    times_half_pi(top * scale, bottom * scale, rest);
    return quadrant;
}

int microclaw_reduce(double x, double rest[2]) {
    double a = __builtin_fabs(x);
    int quadrant = 0;
    if (a <= 0.25 * PI_HIGH) {
        rest[0] = x;
        rest[1] = 0;
        return 0;
    }
    if (!__builtin_isfinite(x)) {
        rest[0] = rest[1] = x - x;
        return 0;
    }
    quadrant = a < 1e6 ? medium(a, rest) : large(a, rest);
    if (x < 0) {
        rest[0] = -rest[0];
        rest[1] = -rest[1];
        quadrant = -quadrant;
    }
    return quadrant;
}

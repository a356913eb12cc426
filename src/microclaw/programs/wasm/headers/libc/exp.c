/* exp, exp2, expm1: e^x = 2^k e^r, r at most ln2 / 2, by its Taylor series. */
#include "real.h"

/* e^(high - low) - 1 for small arguments. */
static double series(double high, double low) {
    static const double inverse_factorials[] = {
        0x1.6124613a86d09p-33, 0x1.1eed8eff8d898p-29, 0x1.ae64567f544e4p-26, 0x1.27e4fb7789f5cp-22, 0x1.71de3a556c734p-19,
        0x1.a01a01a01a01ap-16, 0x1.a01a01a01a01ap-13, 0x1.6c16c16c16c17p-10, 0x1.1111111111111p-7,  0x1.5555555555555p-5,
        0x1.5555555555555p-3,
    };
    double r = high - low, sum = 0;
    for (unsigned i = 0; i < sizeof inverse_factorials / sizeof *inverse_factorials; i++) {
        sum = sum * r + inverse_factorials[i];
    }
    return high + (r * r * 0.5 + (r * r * r * sum - low));
}

double microclaw_exp(double x, int exponent) {
    if (!(__builtin_fabs(x) < 1000)) {
        return __builtin_isnan(x) ? x : x > 0 ? __builtin_inf() : 0;
    }
    double k = __builtin_rint(x * 0x1.71547652b82fep+0);
    return microclaw_scaled(1 + series(x - k * LN2_HIGH, k * LN2_LOW), (int)k + exponent);
}

double microclaw_expm1(double x) {
    if (x > 40) {
        return microclaw_exp(x, 0);
    }
    if (!(x >= -40)) {
        return __builtin_isnan(x) ? x : -1;
    }
    double k = __builtin_rint(x * 0x1.71547652b82fep+0);
    double rest = series(x - k * LN2_HIGH, k * LN2_LOW), power = microclaw_scaled(1, (int)k);
    return k == 0 ? rest : power * rest + (power - 1);
}

static double real_exp(double x) { return microclaw_exp(x, 0); }

static double real_expm1(double x) { return microclaw_expm1(x); }

static double real_exp2(double x) {
    if (!(__builtin_fabs(x) < 2000)) {
        return __builtin_isnan(x) ? x : x > 0 ? __builtin_inf() : 0;
    }
    double k = __builtin_rint(x), rest = x - k, high = of_bits(bits_of(rest) >> 32 << 32);
    double exact = high * 0x1.62e43p-1; /* 21 bits of ln 2 */
    double low = high * 0x1.05c610ca86c39p-29 - (rest - high) * 0x1.62e42fefa39efp-1;
    return microclaw_scaled(1 + series(exact, low), (int)k);
}

FOR_BOTH(exp)
FOR_BOTH(exp2)
FOR_BOTH(expm1)

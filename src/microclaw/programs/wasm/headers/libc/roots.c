/* cbrt and hypot. */
#include "real.h"

static double real_cbrt(double x) {
    if (x == 0 || !__builtin_isfinite(x)) {
        return x;
    }
    double a = __builtin_fabs(x);
    int shift = 0;
    if (a < 0x1p-1022) {
        a *= 0x1p54;
        shift = -18;
    }
    int exponent = (int)(bits_of(a) >> 52) - 1023, third = (exponent + 3000) / 3 - 1000;
    double m = microclaw_scaled(a, -3 * third); /* from 1 to 8 */
    double t = 1 + (m - 1) / 7;
    for (int i = 0; i < 2; i++) {
        double cube = t * t * t;
        t = t * (cube + 2 * m) / (2 * cube + m);
    }
    t = of_bits((bits_of(t) + (1u << 29)) >> 30 << 30); /* so short that its square is exact */
    double r = m / (t * t);
    t += t * ((r - t) / (2 * t + r));
    return __builtin_copysign(microclaw_scaled(t, third + shift), x);
}

static double real_hypot(double x, double y) {
    x = __builtin_fabs(x);
    y = __builtin_fabs(y);
    if (__builtin_isinf(x) || __builtin_isinf(y)) {
        return __builtin_inf();
    }
    double most = x > y ? x : y, scale = most > 0x1p500 ? 0x1p-600 : most < 0x1p-450 ? 0x1p600 : 1;
    x *= scale;
    y *= scale;
    return __builtin_sqrt(x * x + y * y) / scale;
}

FOR_BOTH(cbrt)
FOR_BOTH_OF_TWO(hypot)

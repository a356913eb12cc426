/* atan, atan2, asin, acos: angles from the nearest quarter step of the tangent, the rest by the series. */
#include "real.h"

/* y / x at most 1. */
static double angle(double y, double x) {
    static const double of_quarters[5][2] = {
        {0, 0},
        {0x1.f5b75f92c80ddp-3, 0x1.8ab6e3cf7afbdp-57},
        {0x1.dac670561bb4fp-2, 0x1.a2b7f222f65e2p-56},
        {0x1.4978fa3269ee1p-1, 0x1.2419a87f2a458p-56},
        {0x1.921fb54442d18p-1, 0x1.1a62633145c07p-55},
    };
    int i = (int)__builtin_rint(4 * (y / x));
    double c = 0.25 * i, t = i ? (y - c * x) / (x + c * y) : y / x, z = t * t, sum = 0;
    for (int n = 19; n > 1; n -= 2) {
        sum = 1.0 / n - sum * z;
    }
    return of_quarters[i][0] + (t + (of_quarters[i][1] - t * z * sum));
}

double microclaw_atan_of(double y, double x) {
    double most = y > x ? y : x;
    if (__builtin_isinf(most)) {
        return y != x ? (y > x ? 0.5 * PI_HIGH : 0) : 0.25 * PI_HIGH;
    }
    if (most == 0) {
        return 0;
    }
    if (most > 0x1p1000 || most < 0x1p-900) {
        double scale = most > 1 ? 0x1p-100 : 0x1p150;
        y *= scale;
        x *= scale;
    }
    return y <= x ? angle(y, x) : 0.5 * PI_HIGH - (angle(x, y) - 0.5 * PI_LOW);
}

double microclaw_atan2(double y, double x) {
    if (__builtin_isnan(x) || __builtin_isnan(y)) {
        return x + y;
    }
    double value = microclaw_atan_of(__builtin_fabs(y), __builtin_fabs(x));
    value = __builtin_signbit(x) ? PI_HIGH - (value - PI_LOW) : value;
    return __builtin_copysign(value, y);
}

static double real_atan2(double y, double x) { return microclaw_atan2(y, x); }

static double real_atan(double x) { return microclaw_atan2(x, 1); }

static double real_asin(double x) { return microclaw_atan2(x, __builtin_sqrt((1 - x) * (1 + x))); }

static double real_acos(double x) { return microclaw_atan2(__builtin_sqrt((1 - x) * (1 + x)), x); }

FOR_BOTH_OF_TWO(atan2)
FOR_BOTH(atan)
FOR_BOTH(asin)
FOR_BOTH(acos)

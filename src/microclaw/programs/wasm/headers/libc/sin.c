/* sin, cos, tan. The firmware has sinf and cosf itself. */
#include "real.h"

double microclaw_sine(double x, double low) {
    static const double terms[] = {0x1.952c77030ad4ap-49, -0x1.ae7f3e733b81fp-41, 0x1.6124613a86d09p-33,
        -0x1.ae64567f544e4p-26, 0x1.71de3a556c734p-19, -0x1.a01a01a01a01ap-13, 0x1.1111111111111p-7};
    double z = x * x, cube = z * x, sum = 0;
    for (unsigned i = 0; i < sizeof terms / sizeof *terms; i++) {
        sum = sum * z + terms[i];
    }
    return x - (z * (0.5 * low - cube * sum) - low + cube * 0x1.5555555555555p-3);
}

double microclaw_cosine(double x, double low) {
    static const double terms[] = {-0x1.6827863b97d97p-53, 0x1.ae7f3e733b81fp-45, -0x1.93974a8c07c9dp-37,
        0x1.1eed8eff8d898p-29, -0x1.27e4fb7789f5cp-22, 0x1.a01a01a01a01ap-16, -0x1.6c16c16c16c17p-10,
        0x1.5555555555555p-5};
    double z = x * x, half = 0.5 * z, one = 1 - half, sum = 0;
    for (unsigned i = 0; i < sizeof terms / sizeof *terms; i++) {
        sum = sum * z + terms[i];
    }
    return one + ((1 - one - half) + (z * z * sum - x * low));
}

static double of_quadrant(double x, int turn) {
    double rest[2];
    int quadrant = (microclaw_reduce(x, rest) + turn) & 3;
    double value = quadrant & 1 ? microclaw_cosine(rest[0], rest[1]) : microclaw_sine(rest[0], rest[1]);
    return quadrant & 2 ? -value : value;
}

static double real_sin(double x) { return of_quadrant(x, 0); }

static double real_cos(double x) { return of_quadrant(x, 1); }

static double real_tan(double x) {
    double rest[2];
    int quadrant = microclaw_reduce(x, rest);
    double s = microclaw_sine(rest[0], rest[1]), c = microclaw_cosine(rest[0], rest[1]);
    return quadrant & 1 ? -c / s : s / c;
}

FOR_DOUBLE(sin)
FOR_DOUBLE(cos)
FOR_BOTH(tan)

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <microclaw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define CHECK(c) do { if (!(c)) printf("line %d: %s\n", __LINE__, #c); } while (0)
static char room[100], want[100];
static unsigned seed = 7;
static unsigned chance(void) { return (seed = seed * 1103515245u + 12345u) >> 8; }
static void same(const char *wanted, const char *form, ...) {
    va_list ap;
    va_start(ap, form);
    int n = vsnprintf(room, sizeof room, form, ap);
    va_end(ap);
    if (strcmp(room, wanted) != 0 || n != (int)strlen(wanted)) printf("%s gave %s\n", form, room);
}
int main(void) {
    double ten = 1;
    for (int power = 0; power < 23; power++, ten *= 10) CHECK(log10(ten) == power);
    for (int power = -1074; power < 1024; power++) {
        CHECK(log2(ldexp(1, power)) == power);
        CHECK(exp2(power) == ldexp(1, power));
    }
    for (int n = 0; n < 200; n++) CHECK(cbrt(n * n * n) == n);
    volatile double zero = 0, one = 1;
    CHECK(hypot(3 * one, 4) == 5);
    CHECK(cos(zero) == 1);
    CHECK(exp(zero) == 1 && exp(one) == M_E);
    CHECK(atan2(one, 1) * 4 == M_PI);
    CHECK(fabsf(powf(2, 0.5f) - 1.41421356f) < 2e-7f);
    CHECK(tgamma(0.0) == INFINITY && tgamma(-0.0) == -INFINITY && lgamma(-3) == INFINITY && isnan(nan("")));
    return 0;
}

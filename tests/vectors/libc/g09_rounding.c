#include <math.h>
#include <stdio.h>

int main(void)
{
    double v[] = { 0.5, 1.5, -0.5, -1.5, 2.4999999, -2.5, 1e15 + 0.5 };
    for (int i = 0; i < 7; i++)
        printf("%.7g: %.1f %.1f %.1f %.1f %.1f %ld\n", v[i], floor(v[i]), ceil(v[i]), round(v[i]), trunc(v[i]), rint(v[i]),
               i < 6 ? lround(v[i]) : 0L);
    int e;
    double m = frexp(48.0, &e), whole, part = modf(-3.75, &whole);
    printf("%g %d %g %g %g\n", m, e, part, whole, ldexp(0.75, 4));
    printf("%g %g %g\n", fmin(2, 3), fmax(2, 3), fdim(5, 3));
    printf("%d %d %d %d\n", isnan(NAN) != 0, isinf(INFINITY) != 0, signbit(-0.0) != 0, isfinite(1.0) != 0);
    return 0;
}

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void)
{
    double v[20], sum = 0, squares = 0, least = DBL_MAX, most = -DBL_MAX;
    unsigned seed = 12345;
    int n = sizeof v / sizeof *v;

    for (int i = 0; i < n; i++) {
        seed = seed * 1103515245 + 12345;
        v[i] = (seed >> 16 & 0x7fff) / 327.67 - 50;
        sum += v[i];
        squares += v[i] * v[i];
        least = fmin(least, v[i]);
        most = fmax(most, v[i]);
    }
    qsort(v, n, sizeof *v, compare);
    printf("mean %.4f deviation %.4f\n", sum / n, sqrt(squares / n - pow(sum / n, 2)));
    printf("from %.3f to %.3f, median %.3f\n", least, most, (v[n / 2 - 1] + v[n / 2]) / 2);
    printf("%e %g\n", exp(-sum / 100), log10(most - least));
    return 0;
}

#include <math.h>
#include <stdio.h>

static void rotate(double a, double m[2][2])
{
    m[0][0] = cos(a), m[0][1] = -sin(a);
    m[1][0] = sin(a), m[1][1] = cos(a);
}

int main(void)
{
    double m[2][2];
    int digits = 3;

    for (int k = 1; k <= 3; k++) {
        rotate(k * M_PI / 7, m);
        for (int i = 0; i < 2; i++)
            printf("[% .*f % .*f]\n", digits, m[i][0], digits, m[i][1]);
    }
    printf("%8.3e|%-12g|%+G\n", exp(10), 1e-7, 1e20);
    printf("%s\n", isnan(sqrt(-1.0)) ? "nan" : "number");
    return 0;
}

#include <math.h>
#include <stdio.h>

int main(void)
{
    for (int degrees = 0; degrees <= 360; degrees += 45) {
        double x = degrees * M_PI / 180;
        printf("%3d %7.4f %7.4f %7.4f\n", degrees, fabs(sin(x)) < 1e-12 ? 0.0 : sin(x),
               fabs(cos(x)) < 1e-12 ? 0.0 : cos(x), atan2(sin(x), cos(x)));
    }
    printf("%.6f %.6f %.6f\n", tan(1), asin(0.5), acos(-0.25));
    printf("%.10f %.10f\n", sqrt(2), cbrt(10));
    printf("%g %g %g\n", hypot(3, 4), fmod(-7.5, 2), remainder(7.5, 2));
    return 0;
}

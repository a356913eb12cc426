#include <math.h>
#include <stdio.h>

/* Steinhart-Hart, as everybody writes it. */
static float celsius(int raw)
{
    const float beta = 3950.0f, r0 = 10000.0f, t0 = 298.15f;
    float r = r0 * raw / (4095.0f - raw);
    return 1.0f / (1.0f / t0 + logf(r / r0) / beta) - 273.15f;
}

int main(void)
{
    for (int raw = 500; raw < 4000; raw += 500)
        printf("raw %4d: %6.2f C\n", raw, (double)celsius(raw));
    printf("dew point %.2f\n", 243.04 * (log(65.0 / 100) + 17.625 * 21 / (243.04 + 21)) /
                                   (17.625 - log(65.0 / 100) - 17.625 * 21 / (243.04 + 21)));
    return 0;
}

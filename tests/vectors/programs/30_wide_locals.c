#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

/* Locals of every width are alive across sleeps. */
static int64_t mix(int64_t a, double b, float c, uint8_t d, int16_t e)
{
    usleep(3000);
    int64_t r = a * 3 + (int64_t)b;
    sleep(1);
    return r + (int64_t)(c * 2) + d - e;
}

int main(void)
{
    int64_t big = 0x123456789abLL;
    uint64_t bits = 1;
    double d = 0.5;
    float f = 1.25f;
    uint8_t small = 250;
    int16_t negative = -300;
    for (int i = 0; i < 5; i++) {
        big = mix(big, d, f, small, negative);
        bits = bits << 13 | bits >> 51;
        d *= -3;
        f += 0.25f;
        small += 3;
        negative -= 1000;
        printf("%lld %llx %.3f %.2f %u %d\n", (long long)big, (unsigned long long)bits, d, f, small, negative);
    }
    return 0;
}

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static uint64_t factorial(unsigned n)
{
    return n < 2 ? 1 : n * factorial(n - 1);
}

static uint64_t power_mod(uint64_t base, uint64_t exponent, uint64_t modulus)
{
    uint64_t result = 1;
    for (base %= modulus; exponent; exponent >>= 1, base = base * base % modulus)
        if (exponent & 1)
            result = result * base % modulus;
    return result;
}

int main(void)
{
    for (unsigned n = 5; n <= 20; n += 5) {
        printf("%2u! = %" PRIu64 "\n", n, factorial(n));
        usleep(5000);
    }
    printf("3^200 mod 1000003 = %" PRIu64 "\n", power_mod(3, 200, 1000003));
    int64_t nanoseconds = INT64_C(86400) * 1000000000;
    printf("a day has %lld ns, a week %lld\n", (long long)nanoseconds, (long long)nanoseconds * 7);
    printf("mask %llx, shifted %lld\n", 0xffull << 40, (long long)(INT64_MIN >> 60));
    return 0;
}

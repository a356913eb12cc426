#include <math.h>
#include <stdatomic.h>
#include <stdio.h>

static atomic_int total;
static _Atomic long long wide = 5;
static atomic_flag taken = ATOMIC_FLAG_INIT;

int main(void)
{
    int expected = 3;

    total += 3;
    atomic_fetch_add(&total, 2);
    atomic_fetch_sub(&wide, 1);
    printf("%d %lld\n", atomic_load(&total), wide);
    printf("%d %d\n", atomic_compare_exchange_strong(&total, &expected, 9), expected);
    printf("%d %d\n", atomic_flag_test_and_set(&taken), atomic_flag_test_and_set(&taken));
    printf("%f %.6f %.6f\n", nan(""), tgamma(4.5), erf(0.5));
    return 0;
}

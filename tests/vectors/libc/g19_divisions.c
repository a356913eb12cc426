#include <stdio.h>
#include <stdlib.h>
#include <limits.h>

int main(void)
{
    div_t d = div(-17, 5);
    ldiv_t l = ldiv(1000000007L, 1000L);
    lldiv_t ll = lldiv(-1234567890123456789LL, 1000000007LL);

    printf("%d %d, %ld %ld, %lld %lld\n", d.quot, d.rem, l.quot, l.rem, ll.quot, ll.rem);
    printf("%d %ld %lld\n", abs(-5), labs(-6L), llabs(-7000000000LL));
    printf("%lld %llu\n", strtoll("-9223372036854775808", NULL, 10), strtoull("0xffffffffffffffff", NULL, 0));
    printf("%lld %ld\n", atoll("123456789012"), atol("  -42 "));
    printf("%d %d\n", INT_MAX, CHAR_BIT);
    return 0;
}

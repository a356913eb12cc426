#include <stdio.h>

int main(void)
{
    volatile long double x = 1.5L;
    x = x * 3.0L;
    printf("%d\n", (int)x);
    return 0;
}

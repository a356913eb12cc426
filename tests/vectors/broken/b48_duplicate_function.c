#include <stdio.h>

int average(int a, int b)
{
    return (a + b) / 2;
}

int average(int a, int b)
{
    return (a + b) >> 1;
}

int main(void)
{
    printf("%d\n", average(2, 4));
    return 0;
}

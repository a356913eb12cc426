#include <stdio.h>

static int average(int a, int b)
{
    int sum = a + b;
}

int main(void)
{
    printf("%d\n", average(2, 4));
    return 0;
}

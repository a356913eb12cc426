#include <stdio.h>

int add(a, b)
    int a;
    char *b;
{
    return a + b;
}

int main(void)
{
    printf("%d\n", add(1, 2));
    return 0;
}

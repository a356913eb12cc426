#include <stdio.h>

static void set(int *value)
{
    *value = 5;
}

int main(void)
{
    int x = 0;
    set(x);
    printf("%d\n", x);
    return 0;
}

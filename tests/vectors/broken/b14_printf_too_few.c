#include <stdio.h>

int main(void)
{
    int x = 1;
    printf("%d of %d\n", x);
    return 0;
}

#include <stdio.h>

int main(void)
{
    int levels[4] = {0, 1, 0, 1};
    levels[4] = 1;
    printf("%d\n", levels[4]);
    return 0;
}

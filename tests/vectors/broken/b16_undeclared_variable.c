#include <stdio.h>

int main(void)
{
    for (int i = 0; i < 3; i++) {
        total += i;
    }
    printf("%d\n", total);
    return 0;
}

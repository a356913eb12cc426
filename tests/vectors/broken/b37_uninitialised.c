#include <stdio.h>

int main(void)
{
    int total;
    for (int i = 1; i <= 3; i++) {
        total += i;
    }
    printf("%d\n", total);
    return 0;
}

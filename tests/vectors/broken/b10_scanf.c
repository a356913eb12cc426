#include <stdio.h>

int main(void)
{
    int seconds;
    printf("How many seconds? ");
    scanf("%d", &seconds);
    printf("%d\n", seconds);
    return 0;
}

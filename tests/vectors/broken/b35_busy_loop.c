#include <stdio.h>

int main(void)
{
    printf("ready\n");
    while (1);
    return 0;
}

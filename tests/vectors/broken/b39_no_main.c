#include <stdio.h>

void blink(void)
{
    printf("blink\n");
}

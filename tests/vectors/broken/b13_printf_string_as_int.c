#include <stdio.h>

int main(void)
{
    const char *state = "on";
    int count = 3;
    printf("LED is %d after %s blinks\n", state, count);
    return 0;
}

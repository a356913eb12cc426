#include <stdio.h>

int main(void)
{
    int state = 0;
    if (state = 1) {
        printf("on\n");
    }
    return 0;
}

#include <stdio.h>

static volatile int history[64][1024];

int main(void)
{
    for (int i = 0; i < 64; i++) {
        history[i][i] = i;
    }
    printf("%d\n", history[5][5]);
    return 0;
}

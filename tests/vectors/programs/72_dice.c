#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static uint32_t state = 2463534242u;

static uint32_t xorshift(void)
{
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

int main(void)
{
    int counts[7] = {0};
    for (int i = 0; i < 60; i++) {
        counts[1 + xorshift() % 6]++;
        if (i % 20 == 19) {
            printf("after %d:", i + 1);
            for (int face = 1; face <= 6; face++)
                printf(" %d", counts[face]);
            printf("\n");
            usleep(700000);
        }
    }
    return 0;
}

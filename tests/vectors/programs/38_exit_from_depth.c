#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void dig(int depth, int budget)
{
    printf("%d: %d left\n", depth, budget);
    usleep(10000);
    if (budget <= 0) {
        printf("broke at depth %d\n", depth);
        exit(2);
    }
    dig(depth + 1, budget - depth);
    printf("never back at %d\n", depth);
}

int main(int argc, char *argv[])
{
    if (argc != 1 || argv[1] != NULL)
        return 1;
    dig(1, 12);
    return 0;
}

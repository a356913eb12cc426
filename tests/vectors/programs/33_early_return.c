#include <stdio.h>
#include <unistd.h>

static int check(int step)
{
    sleep(1);
    if (step == 0)
        return 1;
    usleep(1500);
    if (step == 1)
        return 2;
    for (int i = 0;; i++) {
        usleep(1);
        if (i == step)
            return i * 10;
    }
}

int main(void)
{
    for (int step = 0; step < 10; step++) {
        int got = check(step);
        printf("step %d: %d\n", step, got);
        if (got > 40) {
            printf("too much\n");
            return 3;
        }
    }
    return 0;
}

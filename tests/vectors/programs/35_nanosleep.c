#include <stdio.h>
#include <time.h>

static void pause_ms(long ms)
{
    struct timespec wanted = { ms / 1000, ms % 1000 * 1000000L };
    nanosleep(&wanted, NULL);
}

int main(void)
{
    for (int i = 1; i <= 5; i++) {
        pause_ms(i * 400);
        printf("pause %d over\n", i);
    }
    return 0;
}

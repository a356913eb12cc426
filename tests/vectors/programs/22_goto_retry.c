#include <stdio.h>
#include <unistd.h>

static int attempts;

static int connect_once(void)
{
    usleep(300 * 1000);
    return ++attempts % 4 ? -1 : 0;
}

int main()
{
    int wait = 1;
    int connections = 0;
again:
    if (connect_once() < 0) {
        printf("attempt %d failed, waiting %d s\n", attempts, wait);
        sleep(wait);
        if (wait < 4)
            wait *= 2;
        goto again;
    }
    printf("connected at attempt %d\n", attempts);
    wait = 1;
    if (++connections < 2)
        goto again;
    printf("giving up politely\n");
    return 0;
}

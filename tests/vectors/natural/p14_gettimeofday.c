#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

int main(void)
{
    struct timeval before, after;
    gettimeofday(&before, NULL);
    usleep(250 * 1000);
    gettimeofday(&after, NULL);
    long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_usec - before.tv_usec) / 1000;
    printf("%s\n", ms >= 240 && ms <= 300 ? "a quarter" : "wrong");
    return 0;
}

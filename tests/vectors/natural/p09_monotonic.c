#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int main(void)
{
    int64_t start = now_ms();
    usleep(400000);
    int64_t took = now_ms() - start;
    printf("%s\n", took >= 390 && took <= 450 ? "about 400 ms" : "wrong");
    return 0;
}

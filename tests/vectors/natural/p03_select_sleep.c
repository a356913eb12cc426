#include <stdio.h>
#include <sys/select.h>

static void sleep_ms(int ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    select(0, NULL, NULL, NULL, &tv);
}

int main(void)
{
    for (int i = 0; i < 3; i++) {
        printf("step %d\n", i);
        sleep_ms(300);
    }
    return 0;
}

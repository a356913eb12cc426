#include <stdio.h>

static void blink_task(void *arg)
{
    while (1) {
        printf("blink\n");
    }
}

int main(void)
{
    xTaskCreate(blink_task, "blink", 2048, 0, 5, 0);
    return 0;
}

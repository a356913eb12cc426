#include <stdio.h>
#include <unistd.h>

void on_init(void)
{
    for (int i = 3; i > 0; i--) {
        printf("%d\n", i);
        sleep(1);
    }
    printf("start\n");
}

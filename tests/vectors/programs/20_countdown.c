#include <stdio.h>
#include <unistd.h>

int main(void)
{
    for (int i = 10; i > 0; i--) {
        printf("T-%d\n", i);
        sleep(1);
    }
    puts("lift-off");
    return 0;
}

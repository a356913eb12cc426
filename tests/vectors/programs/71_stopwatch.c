#include <stdio.h>
#include <unistd.h>

int main(void)
{
    int seconds = 3595;
    while (1) {
        int h = seconds / 3600, m = seconds / 60 % 60, s = seconds % 60;
        printf("%d:%02d:%02d%c\n", h, m, s, seconds % 5 ? ' ' : '*');
        if (seconds == 3602)
            break;
        seconds++;
        sleep(1);
    }
    return 0;
}

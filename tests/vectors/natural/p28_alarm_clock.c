#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    time_t start = time(NULL);
    while (time(NULL) - start < 2) {
        usleep(100000);
    }
    puts("two seconds");
    return 0;
}

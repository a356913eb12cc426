#include <stdio.h>
#include <unistd.h>

static int n = 3;

static int next(void) { return usleep(1000) == 0 ? n-- : -100; }

int main(void)
{
    int value;
    while ((value = next()) > 0 && sleep(1) == 0)
        printf("value %d\n", value);
    printf("ended with %d, n is %d\n", value, n);
    for (int i = 0; usleep(10), i < 3; i++)
        printf("comma %d\n", i);
    int picked = sleep(1) ? 11 : next() < 0 ? 22 : 33;
    printf("picked %d\n", picked);
    printf("%s\n", next() == -2 && !usleep(5) ? "both" : "not both");
    return 0;
}

#include <stdio.h>
#include <unistd.h>

static void level(int n)
{
    switch (n) {
    case 3:
        printf("  three");
        usleep(1000);
        /* fall through */
    case 2:
        printf(" two");
        usleep(2000);
        /* fall through */
    case 1:
        printf(" one");
        break;
    case 7:
    case 8: {
        int twice = n * 2;
        sleep(1);
        printf("  %d", twice);
        break;
    }
    default:
        printf("  other");
        usleep(10000);
    }
    printf(" (%d)\n", n);
}

int main(void)
{
    static const int order[] = { 3, 1, 7, 0, 2, 8 };
    for (unsigned i = 0; i < sizeof order / sizeof order[0]; i++)
        level(order[i]);
    return 0;
}

#include <stdio.h>
#include <unistd.h>

int main(void)
{
    int steps = 0;
    for (int a = 1; a < 5; a++) {
        for (int b = a; b < 20; b++) {
            if (b % 5 == 4)
                continue;
            for (int c = b; c < 40; c++) {
                steps++;
                if (steps % 50 == 0)
                    usleep(1000);
                if (a * a + b * b == c * c) {
                    printf("%d %d %d\n", a, b, c);
                    sleep(1);
                }
                if (c - b > 10)
                    break;
            }
        }
    }
    printf("%d steps\n", steps);
    return 0;
}

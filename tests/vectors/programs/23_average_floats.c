#include <stdio.h>
#include <unistd.h>

static double read_temperature(int i)
{
    usleep(50000);
    return 20.0 + (i * 37 % 11) / 4.0;
}

int main(void)
{
    double sum = 0, low = 1e9, high = -1e9;
    float last = 0;
    int n = 0;
    do {
        double t = read_temperature(n);
        sum += t;
        if (t < low)
            low = t;
        if (t > high)
            high = t;
        last = (float)t;
        n++;
        if (n % 5 == 0) {
            printf("n=%d mean=%.3f low=%.2f high=%.2f last=%.2f\n", n, sum / n, low, high, last);
            sleep(1);
        }
    } while (n < 20);
    return 0;
}

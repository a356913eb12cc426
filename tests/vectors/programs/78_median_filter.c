#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TAPS 5

static int median(const int *values)
{
    int sorted[TAPS];
    memcpy(sorted, values, sizeof sorted);
    for (int i = 1; i < TAPS; i++) {
        int v = sorted[i], j = i;
        while (j > 0 && sorted[j - 1] > v) {
            sorted[j] = sorted[j - 1];
            j--;
        }
        sorted[j] = v;
    }
    return sorted[TAPS / 2];
}

int main(void)
{
    static const int raw[] = {100, 102, 990, 101, 99, 103, -500, 104, 105, 106};
    int window[TAPS] = {100, 100, 100, 100, 100};
    for (unsigned i = 0; i < sizeof raw / sizeof *raw; i++) {
        memmove(window, window + 1, sizeof window - sizeof *window);
        window[TAPS - 1] = raw[i];
        printf("%4d -> %d\n", raw[i], median(window));
        usleep(50000);
    }
    return 0;
}

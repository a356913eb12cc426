#include <stdio.h>
#include <unistd.h>

typedef struct {
    int x, y;
    char label[12];
} reading;

static reading measure(int i)
{
    reading r = { i * 3, 100 - i * i, "" };
    usleep(20000);
    snprintf(r.label, sizeof r.label, "r%02d", i);
    return r;
}

static reading best(reading a, reading b)
{
    sleep(1);
    return a.x * a.y >= b.x * b.y ? a : b;
}

int main(void)
{
    reading top = measure(0);
    for (int i = 1; i < 9; i++) {
        reading now = measure(i);
        top = best(top, now);
        printf("%s: best is %s (%d)\n", now.label, top.label, top.x * top.y);
    }
    return 0;
}

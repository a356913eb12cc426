#include <stdio.h>
#include <unistd.h>

static unsigned tick(unsigned step)
{
    static unsigned calls, sum;
    calls++;
    sum += step;
    sleep(1);
    return sum * 100 + calls;
}

static void report(const char *who, unsigned value)
{
    static const char *last = "nobody";
    printf("%s after %s: %u\n", who, last, value);
    last = who;
}

int main(void)
{
    report("first", tick(5));
    report("second", tick(7));
    for (int i = 0; i < 3; i++)
        report(i % 2 ? "odd" : "even", tick(i));
    return 0;
}

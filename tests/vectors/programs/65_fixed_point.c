#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

typedef int32_t q16;

#define Q(x) ((q16)((x) * 65536))

static q16 mul(q16 a, q16 b) { return (q16)(((int64_t)a * b) >> 16); }
static q16 divide(q16 a, q16 b) { return (q16)(((int64_t)a << 16) / b); }

static void show(const char *name, q16 v)
{
    int milli = (int)(((int64_t)v * 1000) / 65536);
    printf("%s = %s%d.%03d\n", name, milli < 0 ? "-" : "", milli / 1000 * (milli < 0 ? -1 : 1), milli < 0 ? -milli % 1000 : milli % 1000);
}

int main(void)
{
    show("3.25 * 2.5", mul(Q(3.25), Q(2.5)));
    sleep(1);
    show("10 / 4", divide(Q(10), Q(4)));
    show("-1.5 * 3", mul(Q(-1.5), Q(3)));
    q16 x = Q(2);
    for (int i = 0; i < 5; i++) {
        x = (x + divide(Q(2), x)) / 2;
        usleep(1000);
    }
    show("sqrt(2)", x);
    return 0;
}

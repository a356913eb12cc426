#include <microclaw.h>
#include <string.h>

static const char *const patterns[] = {"x..", ".x.", "..x", "xx.", ".xx", "xxx", "..."};
static int lamps[3];

static int play(const char *pattern)
{
    int lit = 0;
    for (size_t i = 0; i < strlen(pattern); i++) {
        gpio_set(lamps[i], pattern[i] == 'x');
        lit += gpio_get(lamps[i]);
    }
    return lit;
}

int main(void)
{
    for (int i = 0; i < 3; i++)
        lamps[i] = gpio_open(4 + i, GPIO_OUT);
    int total = 0;
    for (int round = 1; round <= 2; round++) {
        for (unsigned i = 0; i < sizeof patterns / sizeof *patterns; i++) {
            int lit = play(patterns[i]);
            total += lit;
            printf("%d.%u %s %d lit\n", round, i, patterns[i], lit);
            delay(round == 1 ? 100 : 50);
        }
    }
    printf("%d in all\n", total);
    return 0;
}

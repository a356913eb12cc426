#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 4

static char *ring[SLOTS];
static unsigned next;

static void note(const char *what, double value)
{
    char line[40];
    int n = snprintf(line, sizeof line, "%s=%.*g", what, 4, value);
    free(ring[next % SLOTS]);
    ring[next++ % SLOTS] = strndup(line, n > 12 ? 12 : n);
}

int main(void)
{
    for (int i = 0; i < 7; i++)
        note(i % 2 ? "voltage" : "temp", 1.0 / (i + 1));
    for (unsigned i = 0; i < SLOTS; i++)
        printf("%u %s\n", i, ring[(next + i) % SLOTS]);
    return 0;
}

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define LIMIT 1000

static bool composite[LIMIT + 1];

int main(void)
{
    int count = 0, last = 0;
    memset(composite, 0, sizeof composite);
    for (int i = 2; i <= LIMIT; i++) {
        if (composite[i])
            continue;
        count++;
        last = i;
        for (int j = i * i; j <= LIMIT; j += i)
            composite[j] = true;
    }
    printf("%d primes up to %d, the last is %d\n", count, LIMIT, last);
    return 0;
}

#include <stdio.h>
#include <string.h>

static int sum(const unsigned char *bytes, int n)
{
    int total = 0;
    for (int i = 0; i < n; i++) {
        total += bytes[i];
    }
    return total;
}

int main(void)
{
    unsigned char samples[16384];
    memset(samples, 1, sizeof samples);
    printf("%d\n", sum(samples, sizeof samples));
    return 0;
}

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    int n = argc * 5000;
    int readings[n];
    for (int i = 0; i < n; i++) {
        readings[i] = i;
    }
    printf("%d\n", readings[n - 1]);
    return 0;
}

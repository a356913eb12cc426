#include <stdio.h>

int main(void)
{
    int cycles;
    __asm__ volatile("rsr %0, ccount" : "=a"(cycles));
    printf("%d\n", cycles);
    return 0;
}

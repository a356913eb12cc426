#include <stdio.h>

extern int read_temperature(void);

int main(void)
{
    printf("%d\n", read_temperature());
    return 0;
}

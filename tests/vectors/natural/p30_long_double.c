#include <stdio.h>

static const char *format = "%5.2Lf\n";

int main(void)
{
    printf("100%% Large\n");
    printf(format, 1.5L);
    return 0;
}

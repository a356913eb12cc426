#include <stdio.h>

int main(void)
{
    printf("*** 100%% sure ***\n");
    printf("%d%% of %d\n", 50, 8);
    printf("%%*d stays\n");
    printf("%%%d%%\n", 5);
    printf("a * b = %d\n", 6 * 7);
    printf("%3d|%-3d|%03d|% d\n", 1, 2, 3, 4);
    printf("%.10s|%.0f|%5.1f%%\n", "abc", 2.5, 99.95);
    printf("%70d|\n", 7);
    printf("%d %d %d %d %d %d %d %d %d %d\n", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
    return 0;
}

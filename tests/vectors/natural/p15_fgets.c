#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char line[64];
    printf("How many seconds? ");
    fgets(line, sizeof line, stdin);
    printf("waiting %d\n", atoi(line));
    return 0;
}

#include <stdio.h>
int main(void);
{
    printf("x\n");
    return 0;
}

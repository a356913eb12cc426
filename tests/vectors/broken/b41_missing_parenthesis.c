#include <stdio.h>

int main(void)
{
    if (1 > 0 {
        printf("yes\n");
    }
    return 0;
}

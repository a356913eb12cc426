#include <stdio.h>

void on_init(void)
{
    printf("started\n");
}

int main(void)
{
    printf("main\n");
    return 0;
}

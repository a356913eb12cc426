#include <stdio.h>

static volatile int sink;

static int count(int n)
{
    sink = n;
    return count(n + 1) + sink;
}

int main(void)
{
    printf("%d\n", count(0));
    return 0;
}

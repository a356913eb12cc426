#include <stdio.h>
#include <unistd.h>

/* Recursion with a sleep at each leaf: the whole chain of calls has to survive. */
static int leaves;

static int fib(int n)
{
    if (n < 2) {
        usleep(2000);
        leaves++;
        return n;
    }
    int a = fib(n - 1);
    int b = fib(n - 2);
    return a + b;
}

int main(void)
{
    for (int n = 0; n <= 10; n++) {
        int value = fib(n);
        printf("fib(%d) = %d after %d leaves\n", n, value, leaves);
    }
    return 0;
}

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

static bool is_odd(int n);

static bool is_even(int n)
{
    if (n == 0) {
        sleep(1);
        return true;
    }
    return is_odd(n - 1);
}

static bool is_odd(int n)
{
    bool result;
    if (n == 0)
        return false;
    usleep(100);
    result = is_even(n - 1);
    return result;
}

int main(void)
{
    for (int n = 0; n < 8; n++)
        printf("%d is %s\n", n, is_even(n) ? "even" : "odd");
    return 0;
}

#include <stdio.h>
#include <gpoi.h>

int main(void)
{
    return 0;
}

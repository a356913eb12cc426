#include <stdio.h>
#include <string.h>

int main(void)
{
    int s = socket(2, 1, 0);
    if (s < 0) {
        return 1;
    }
    send(s, "hello", 5, 0);
    return 0;
}

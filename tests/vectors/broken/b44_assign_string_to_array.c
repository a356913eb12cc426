#include <stdio.h>

int main(void)
{
    char text[16];
    text = "hello";
    printf("%s\n", text);
    return 0;
}

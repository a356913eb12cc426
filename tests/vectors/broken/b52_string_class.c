#include <Arduino.h>

int main(void)
{
    String name = "board";
    printf("%s\n", name);
    return 0;
}

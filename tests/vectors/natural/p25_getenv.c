#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    const char *pin = getenv("LED_PIN");
    printf("pin %d\n", pin ? atoi(pin) : 2);
    return 0;
}

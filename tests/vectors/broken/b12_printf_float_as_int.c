#include <stdio.h>
#include <unistd.h>

int main(void)
{
    float celsius = 21.5f;
    while (1) {
        printf("temperature: %d C\n", celsius);
        celsius += 0.1f;
        sleep(1);
    }
}

#include <Arduino.h>

int main(void)
{
    while (1) {
        int value = analogRead(34);
        printf("%d\n", value);
        delay(1000);
    }
}

#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

static void show(uint8_t leds)
{
    for (int bit = 7; bit >= 0; bit--)
        putchar(leds >> bit & 1 ? '*' : '.');
    putchar('\n');
}

int main(void)
{
    uint8_t leds = 1;
    int direction = 1, turns = 0;
    while (turns < 3) {
        show(leds);
        usleep(80000);
        if (direction > 0)
            leds <<= 1;
        else
            leds >>= 1;
        if (leds == 0x80 || leds == 0x01) {
            direction = -direction;
            turns++;
        }
    }
    show(leds);
    return 0;
}

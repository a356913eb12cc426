#include <stdio.h>
#include <unistd.h>

#define WINDOW 4

int main(void)
{
    int window[WINDOW] = { 0 }, filled = 0, place = 0;
    unsigned seed = 12345;
    for (int n = 0; n < 12; n++) {
        seed = seed * 1103515245u + 12345u;
        int sample = (int)(seed >> 16) % 100;
        window[place] = sample;
        place = (place + 1) % WINDOW;
        if (filled < WINDOW)
            filled++;
        int sum = 0;
        for (int i = 0; i < filled; i++)
            sum += window[i];
        printf("%2d: %3d -> %d.%02d%s\n", n, sample, sum / filled, sum * 100 / filled % 100, sum / filled > 50 ? " HIGH" : "");
        usleep(750 * 1000);
    }
    return 0;
}

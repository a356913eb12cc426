#include <stdio.h>
#include <unistd.h>

#define WINDOW 5

static float read_temperature(int i)
{
    static const float values[] = {20.0f, 20.5f, 21.0f, 35.0f, 21.5f, 22.0f, 22.5f, 23.0f};
    return values[i % 8];
}

int main(void)
{
    float window[WINDOW] = {0};
    float sum = 0;
    int count = 0, next = 0;
    for (int i = 0; i < 8; i++) {
        float value = read_temperature(i);
        sum += value - window[next];
        window[next] = value;
        next = (next + 1) % WINDOW;
        if (count < WINDOW)
            count++;
        printf("t=%.1f C average=%.2f C over %d\n", value, sum / count, count);
        sleep(2);
    }
    return 0;
}

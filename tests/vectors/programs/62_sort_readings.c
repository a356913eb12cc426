#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char sensor[8];
    float value;
    int second;
} sample;

static int by_value(const void *a, const void *b)
{
    float x = ((const sample *)a)->value, y = ((const sample *)b)->value;
    return (x > y) - (x < y);
}

static int by_name_then_time(const void *a, const void *b)
{
    const sample *x = a, *y = b;
    int order = strcmp(x->sensor, y->sensor);
    return order ? order : x->second - y->second;
}

static void show(const char *title, const sample *s, int n)
{
    printf("%s:", title);
    for (int i = 0; i < n; i++)
        printf(" %s@%d=%.1f", s[i].sensor, s[i].second, s[i].value);
    printf("\n");
}

int main(void)
{
    sample samples[6];
    for (int i = 0; i < 6; i++) {
        samples[i] = (sample){.value = (float)((i * 37) % 11) / 2, .second = i};
        strcpy(samples[i].sensor, i % 2 ? "out" : "in");
        sleep(1);
    }
    qsort(samples, 6, sizeof *samples, by_value);
    show("by value", samples, 6);
    qsort(samples, 6, sizeof *samples, by_name_then_time);
    show("by name", samples, 6);
    return 0;
}

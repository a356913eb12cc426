#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#define SIZE 8

struct ring {
    uint8_t data[SIZE];
    unsigned head, tail;
    unsigned lost;
};

static int put(struct ring *r, uint8_t value)
{
    if (r->head - r->tail == SIZE) {
        r->lost++;
        return 0;
    }
    r->data[r->head++ & (SIZE - 1)] = value;
    return 1;
}

static int get(struct ring *r)
{
    return r->head == r->tail ? -1 : r->data[r->tail++ & (SIZE - 1)];
}

int main(void)
{
    struct ring r = {.head = 0};
    int sum = 0;
    for (int second = 0; second < 5; second++) {
        for (int i = 0; i < 4; i++)
            put(&r, (uint8_t)(second * 60 + i));
        int value, taken = 0;
        while (taken < 3 && (value = get(&r)) >= 0) {
            sum += value;
            taken++;
        }
        printf("%d s: %u waiting, %u lost, sum %d\n", second, r.head - r.tail, r.lost, sum);
        sleep(1);
    }
    return 0;
}

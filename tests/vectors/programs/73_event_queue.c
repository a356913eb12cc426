#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct event {
    int at_ms;
    const char *name;
    struct event *next;
};

static struct event *queue;

static void schedule(int at_ms, const char *name)
{
    struct event *e = malloc(sizeof *e);
    if (!e)
        exit(1);
    e->at_ms = at_ms;
    e->name = name;
    struct event **place = &queue;
    while (*place && (*place)->at_ms <= at_ms)
        place = &(*place)->next;
    e->next = *place;
    *place = e;
}

int main(void)
{
    int now = 0, handled = 0;
    schedule(500, "lamp on");
    schedule(200, "door");
    schedule(900, "lamp off");
    while (queue) {
        struct event *e = queue;
        usleep((unsigned)(e->at_ms - now) * 1000);
        now = e->at_ms;
        printf("%4d ms: %s\n", now, e->name);
        if (handled++ == 1)
            schedule(now + 150, "check");
        queue = e->next;
        free(e);
    }
    printf("%d events\n", handled);
    return 0;
}

#include <stdio.h>
#include <unistd.h>

/* The "what is due" loop that many people write instead of threads. */
typedef struct {
    const char *name;
    int every, due, runs;
} task;

int main(void)
{
    task tasks[] = { { "blink", 2, 0, 0 }, { "read", 3, 1, 0 }, { "send", 7, 7, 0 } };
    for (int second = 0; second <= 14; second++) {
        for (int i = 0; i < 3; i++) {
            task *t = &tasks[i];
            if (second == t->due) {
                printf("%2d %s #%d\n", second, t->name, ++t->runs);
                t->due += t->every;
            }
        }
        sleep(1);
    }
    return 0;
}

#include <stdio.h>
#include <unistd.h>

static unsigned now_ms;
static int beats;

static void heartbeat(void) { beats++; }
static void report(void) { printf("%5u ms: %d beats\n", now_ms, beats); }
static void minute(void) { printf("%5u ms: a minute's worth\n", now_ms); }

static struct task {
    const char *name;
    unsigned every_ms, next_ms;
    void (*run)(void);
    unsigned runs;
} tasks[] = {
    {"heartbeat", 250, 0, heartbeat, 0},
    {"report", 1500, 1500, report, 0},
    {"minute", 3000, 3000, minute, 0},
};
#define COUNT (sizeof tasks / sizeof *tasks)

int main(void)
{
    while (now_ms <= 6000) {
        for (struct task *t = tasks; t < tasks + COUNT; t++) {
            if (now_ms >= t->next_ms) {
                t->next_ms += t->every_ms;
                t->runs++;
                t->run();
            }
        }
        usleep(50 * 1000);
        now_ms += 50;
    }
    for (unsigned i = 0; i < COUNT; i++)
        printf("%-10s %3u\n", tasks[i].name, tasks[i].runs);
    return 0;
}

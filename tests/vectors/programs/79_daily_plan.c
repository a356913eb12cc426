#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

typedef struct {
    int hour, minute;
    bool on;
    const char *what;
} entry_t;

static const entry_t plan[] = {
    {6, 30, true, "heating"}, {8, 0, false, "heating"}, {8, 0, true, "fan"}, {17, 15, true, "light"}, {23, 45, false, "light"},
};

static int minutes(const entry_t *e) { return e->hour * 60 + e->minute; }

int main(void)
{
    int now = 6 * 60, done = 0;
    while (now < 24 * 60) {
        for (unsigned i = 0; i < sizeof plan / sizeof plan[0]; i++) {
            const entry_t *e = &plan[i];
            if (minutes(e) != now)
                continue;
            printf("%02d:%02d %s %s\n", e->hour, e->minute, e->what, e->on ? "on" : "off");
            done++;
        }
        now += 15;
        usleep(15000);
    }
    printf("%d of %d done\n", done, (int)(sizeof plan / sizeof plan[0]));
    return 0;
}

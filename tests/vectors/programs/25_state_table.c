#include <stdio.h>
#include <unistd.h>

/* A state machine whose states are functions behind pointers; some of them sleep. */
typedef struct machine machine;
typedef int (*state)(machine *);
enum { IDLE, HEATING, HOLDING, COOLING, STOP };

struct machine {
    int temperature, cycles;
};

static int idle(machine *m)
{
    sleep(1);
    return m->cycles < 2 ? HEATING : STOP;
}

static int heating(machine *m)
{
    while (m->temperature < 60) {
        m->temperature += 20;
        usleep(250000);
    }
    return HOLDING;
}

static int holding(machine *m)
{
    int loss = 0;
    for (int i = 0; i < 3; i++) {
        sleep(1);
        loss += i;
    }
    m->temperature -= loss;
    return COOLING;
}

static int cooling(machine *m)
{
    m->temperature = 20;
    m->cycles++;
    return IDLE;
}

static const state states[] = { idle, heating, holding, cooling };
static const char *const names[] = { "idle", "heating", "holding", "cooling", "stop" };

int main(void)
{
    machine m = { 20, 0 };
    int now = IDLE;
    while (now != STOP) {
        int next = states[now](&m);
        printf("%s -> %s at %d\n", names[now], names[next], m.temperature);
        now = next;
    }
    return m.cycles;
}

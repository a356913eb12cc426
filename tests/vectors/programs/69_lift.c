#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { FLOORS = 6 };

static unsigned calls;

static int nearest(int floor)
{
    int best = -1;
    for (int f = 0; f < FLOORS; f++)
        if (calls >> f & 1 && (best < 0 || abs(f - floor) < abs(best - floor)))
            best = f;
    return best;
}

static int travel(int floor, int goal)
{
    while (floor != goal) {
        floor += goal > floor ? 1 : -1;
        usleep(300000);
        if (calls >> floor & 1 && floor != goal)
            break;
    }
    return floor;
}

int main(void)
{
    calls = 1 << 4 | 1 << 1 | 1 << 5;
    int floor = 2, goal, stops = 0;
    while ((goal = nearest(floor)) >= 0) {
        floor = travel(floor, goal);
        calls &= ~(1u << floor);
        printf("stop %d at floor %d, calls left %02x\n", ++stops, floor, calls);
        if (stops == 2)
            calls |= 1 << 0;
        sleep(1);
    }
    return 0;
}

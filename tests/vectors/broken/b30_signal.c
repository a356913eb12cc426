#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile int running = 1;

static void stop(int number)
{
    running = 0;
}

int main(void)
{
    signal(SIGINT, stop);
    while (running) {
        sleep(1);
    }
    return 0;
}

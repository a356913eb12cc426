#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile sig_atomic_t running = 1;

static void stop(int number) { running = 0; }

int main(void)
{
    signal(SIGINT, stop);
    signal(SIGTERM, stop);
    while (running) {
        puts("working");
        sleep(1);
    }
    return 0;
}

#include <pthread.h>
#include <stdio.h>

static void *worker(void *arg)
{
    printf("working\n");
    return 0;
}

int main(void)
{
    pthread_t thread;
    pthread_create(&thread, 0, worker, 0);
    pthread_join(thread, 0);
    return 0;
}

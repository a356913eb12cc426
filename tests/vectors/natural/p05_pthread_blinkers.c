#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static void *work(void *arg)
{
    for (int i = 0; i < 3; i++) {
        printf("%s %d\n", (char *)arg, i);
        sleep(1);
    }
    return NULL;
}

int main(void)
{
    pthread_t a, b;
    pthread_create(&a, NULL, work, "a");
    pthread_create(&b, NULL, work, "b");
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    return 0;
}

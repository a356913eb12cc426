#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct job {
    int id, cost;
    struct job *next;
} job;

static job *push(job *head, int id)
{
    job *j = malloc(sizeof *j);
    if (!j) {
        printf("no memory\n");
        exit(1);
    }
    j->id = id;
    j->cost = id * id % 7;
    j->next = head;
    usleep(1000);
    return j;
}

static void work(job *j)
{
    printf("job %d takes %d\n", j->id, j->cost);
    usleep(j->cost * 10000);
}

int main(void)
{
    job *head = NULL;
    for (int i = 1; i <= 6; i++)
        head = push(head, i);
    int total = 0;
    while (head) {
        job *done = head;
        work(done);
        total += done->cost;
        head = done->next;
        free(done);
    }
    printf("total %d\n", total);
    return 0;
}

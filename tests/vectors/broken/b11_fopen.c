#include <stdio.h>

int main(void)
{
    FILE *log = fopen("/storage/log.txt", "a");
    if (log == NULL) {
        return 1;
    }
    fprintf(log, "started\n");
    fclose(log);
    return 0;
}

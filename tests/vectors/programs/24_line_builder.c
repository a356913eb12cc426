#include <stdio.h>
#include <unistd.h>

/* A local buffer that grows across sleeps. */
int main(void)
{
    char line[64];
    int used = 0;
    for (char c = 'a'; c <= 'z'; c += 3) {
        used += snprintf(line + used, sizeof line - used, "%c%d ", c, c - 'a');
        usleep(100000);
    }
    printf("%d bytes: %s\n", used, line);
    for (int i = 0; line[i]; i++) {
        if (line[i] == ' ')
            line[i] = '-';
        else
            usleep(1000);
    }
    puts(line);
    return 0;
}

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void add(const char *line)
{
    int fd = open("/storage/events.log", O_WRONLY | O_CREAT | O_APPEND, 0644);
    write(fd, line, strlen(line));
    close(fd);
}

int main(void)
{
    char buffer[64];
    add("start;");
    add("stop;");
    int fd = open("/storage/events.log", O_RDONLY);
    ssize_t n = read(fd, buffer, sizeof buffer - 1);
    buffer[n < 0 ? 0 : n] = '\0';
    printf("%zd bytes: %s\n", n, buffer);
    close(fd);
    return 0;
}

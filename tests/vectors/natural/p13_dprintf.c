#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    char text[32] = {0};
    int fd = open("/storage/value.txt", O_RDWR | O_CREAT | O_TRUNC, 0644);
    dprintf(fd, "value=%d\n", 42);
    lseek(fd, 0, SEEK_SET);
    read(fd, text, sizeof text - 1);
    close(fd);
    printf("file: %s", text);
    dprintf(STDOUT_FILENO, "%s %d\n", "to the log", 7);
    return 0;
}

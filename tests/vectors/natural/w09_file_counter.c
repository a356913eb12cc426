#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>
#include <errno.h>

int main(void)
{
    char text[8] = {0};
    int fd = open("/storage/count.txt", O_WRONLY | O_CREAT | O_TRUNC);
    if (fd < 0) {
        printf("open: errno=%d\n", errno);
        return 1;
    }
    printf("wrote %d\n", (int)write(fd, "42", 3));
    close(fd);
    fd = open("/storage/count.txt", O_RDONLY);
    printf("size %d\n", (int)lseek(fd, 0, SEEK_END));
    lseek(fd, 0, SEEK_SET);
    read(fd, text, sizeof(text) - 1);
    printf("count %s\n", text);
    close(fd);
    return 0;
}

#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>

int main(void)
{
    int fd = open("/dev/uart/0", O_RDWR);
    write(fd, "hello\r\n", 7);
    close(fd);
    return 0;
}

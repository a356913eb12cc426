#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    int fd = open("/dev/gpio/2", O_WRONLY);
    if (fd < 0) {
        perror("open");
        return 1;
    }
    for (;;) {
        write(fd, "1", 1);
        sleep(1);
        write(fd, "0", 1);
        sleep(1);
    }
}

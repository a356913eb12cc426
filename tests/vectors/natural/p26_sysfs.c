#include <fcntl.h>
#include <unistd.h>

int main(void)
{
    int fd = open("/sys/class/gpio/export", O_WRONLY);
    write(fd, "17", 2);
    close(fd);
    fd = open("/sys/class/gpio/gpio17/value", O_WRONLY);
    for (;;) {
        write(fd, "1", 1);
        sleep(1);
        write(fd, "0", 1);
        sleep(1);
    }
}

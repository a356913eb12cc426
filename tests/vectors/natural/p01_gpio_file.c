#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

int main(void)
{
    uint8_t on = 1, off = 0;
    int fd = open("/dev/gpio/2", O_WRONLY);
    while (1) {
        write(fd, &on, 1);
        usleep(250000);
        write(fd, &off, 1);
        usleep(750000);
    }
}

#include <fcntl.h>
#include <unistd.h>

int main(void)
{
    char on = 1, off = 0;
    int fd = open("/dev/gpio/17", O_WRONLY);
    for (int i = 0; i < 50; i++) {
        write(fd, &on, 1);
        usleep(20000);
        write(fd, &off, 1);
        usleep(60000);
    }
    return 0;
}

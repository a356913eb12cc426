#include <fcntl.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    struct timespec pause = {.tv_sec = 0, .tv_nsec = 300 * 1000 * 1000};
    int fd = open("/dev/gpio/18", O_RDWR);
    char level = 0;
    for (int i = 0; i < 4; i++) {
        level ^= 1;
        write(fd, &level, 1);
        nanosleep(&pause, NULL);
    }
    close(fd);
    return 0;
}

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

int main(void)
{
    struct pollfd p = {.fd = open("/dev/gpio/4", O_RDONLY), .events = POLLIN};
    char level;
    while (poll(&p, 1, 5000) >= 0) {
        if (p.revents & POLLIN) {
            read(p.fd, &level, 1);
            printf("pin is %d\n", level);
        }
    }
    return 0;
}

#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

int main(void)
{
    struct termios tio;
    int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    tcgetattr(fd, &tio);
    cfsetspeed(&tio, B9600);
    tcsetattr(fd, TCSANOW, &tio);
    write(fd, "AT\r\n", 4);
    return 0;
}

#include <fcntl.h>
#include <linux/i2c-dev.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

int main(void)
{
    int fd = open("/dev/i2c-1", O_RDWR);
    ioctl(fd, I2C_SLAVE, 0x76);
    char reg = 0xd0;
    write(fd, &reg, 1);
    read(fd, &reg, 1);
    printf("%02x\n", reg);
    return 0;
}

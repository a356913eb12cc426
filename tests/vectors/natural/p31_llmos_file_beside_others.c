#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>
int main() { int fd = open("/dev/gpio", O_RDWR), pin = open("/dev/gpio/3", O_RDWR); char one = 1;
 int a = ioctl(fd, 0x1003, &one), b = ioctl(fd, 0x1002, 0), c = (int)write(pin, &one, 1);
 printf("%d %d %d %d\n", a, b, c, close(fd));
 return close(pin); }

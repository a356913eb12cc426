#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main() {
 int fd = open("/dev/gpiochip0", O_RDWR);
 return fd; }

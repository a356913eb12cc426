#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main() {
 int fd = open("/dev/gpio/30", O_RDWR);
 return fd; }

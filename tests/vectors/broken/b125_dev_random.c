#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
int main() {
 int fd = open("/dev/random", O_RDWR);
 return fd; }

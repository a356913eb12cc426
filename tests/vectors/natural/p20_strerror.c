#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    int fd = open("/storage/not_there.txt", O_RDONLY);
    if (fd < 0) {
        printf("%s\n", errno == ENOENT ? "ENOENT" : strerror(errno));
    }
    return 0;
}

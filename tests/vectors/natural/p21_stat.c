#include <stdio.h>
#include <sys/stat.h>

int main(void)
{
    struct stat st;
    if (stat("/storage/log.txt", &st) == 0) {
        printf("%ld bytes\n", (long)st.st_size);
    }
    return 0;
}

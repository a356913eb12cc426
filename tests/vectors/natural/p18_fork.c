#include <stdio.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    pid_t child = fork();
    if (child == 0) {
        puts("child");
        return 0;
    }
    waitpid(child, NULL, 0);
    puts("parent");
    return 0;
}

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    int option, count = 3;
    while ((option = getopt(argc, argv, "n:")) != -1) {
        if (option == 'n') {
            count = atoi(optarg);
        }
    }
    printf("count %d\n", count);
    return 0;
}

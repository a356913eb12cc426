#include <stdio.h>

int main(void)
{
    FILE *f = fopen("/storage/data.csv", "a");
    if (!f) {
        perror("fopen");
        return 1;
    }
    fprintf(f, "%d,%f\n", 1, 21.5);
    fclose(f);
    return 0;
}

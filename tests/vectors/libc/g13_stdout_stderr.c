#include <stdio.h>

int main(void)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    fprintf(stdout, "value %d of %s\n", 5, "five");
    fputs("no newline added", stdout);
    fputc('\n', stdout);
    for (char c = 'a'; c < 'g'; c++)
        putc(c, stdout);
    putchar('\n');
    fwrite("bytes\n", 1, 6, stdout);
    int n = fprintf(stdout, "%*s|%s\n", 10, "right", "");
    printf("%d characters\n", n);
    fflush(stdout);
    return 0;
}

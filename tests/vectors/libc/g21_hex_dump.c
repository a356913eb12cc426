#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void dump(const void *data, size_t size)
{
    const unsigned char *p = data;
    for (size_t at = 0; at < size; at += 8) {
        printf("%04zx ", at);
        for (size_t i = at; i < at + 8; i++)
            if (i < size)
                printf(" %02x", p[i]);
            else
                printf("   ");
        printf("  ");
        for (size_t i = at; i < at + 8 && i < size; i++)
            putchar(isprint(p[i]) ? p[i] : '.');
        putchar('\n');
    }
}

int main(void)
{
    char data[21] = "Hello, board!\x01\x02\x7f";
    dump(data, sizeof data);
    printf("%d %d %d\n", islower('q') != 0, iscntrl('\n') != 0, isblank('\t') != 0);
    return 0;
}

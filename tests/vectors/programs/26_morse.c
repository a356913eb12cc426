#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define UNIT_MS 20

static int units;

static void on_for(int n)
{
    units += n;
    usleep(n * UNIT_MS * 1000);
}

static const char *code(char c)
{
    switch (c) {
    case 'S':
        return "...";
    case 'O':
        return "---";
    case 'E':
        return ".";
    default:
        return "";
    }
}

static void send(const char *text)
{
    for (; *text; text++) {
        const char *symbols = code(*text);
        for (size_t i = 0; i < strlen(symbols); i++) {
            putchar(symbols[i]);
            on_for(symbols[i] == '-' ? 3 : 1);
            on_for(1);
        }
        putchar('/');
        on_for(2);
    }
    putchar('\n');
}

int main(void)
{
    send("SOS");
    sleep(1);
    send("SEE");
    printf("%d units\n", units);
    return 0;
}

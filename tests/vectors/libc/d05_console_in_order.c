#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <microclaw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#define CHECK(c) do { if (!(c)) printf("line %d: %s\n", __LINE__, #c); } while (0)
static char room[100], want[100];
static unsigned seed = 7;
static unsigned chance(void) { return (seed = seed * 1103515245u + 12345u) >> 8; }
static void same(const char *wanted, const char *form, ...) {
    va_list ap;
    va_start(ap, form);
    int n = vsnprintf(room, sizeof room, form, ap);
    va_end(ap);
    if (strcmp(room, wanted) != 0 || n != (int)strlen(wanted)) printf("%s gave %s\n", form, room);
}
int main(void) {
    const char *volatile form = "<%s%c%d>\n";
    static char text[1001];
    CHECK(fputs("text\n", stdout) >= 0 && fputc(0x141, stderr) == 0x41 && putc(66, stdout) == 66);
    CHECK(fwrite("abc\tdef\n", 1, 8, stdout) == 8 && fflush(stdout) == 0 && ferror(stdout) == 0);
    CHECK(setvbuf(stdout, NULL, _IONBF, 0) == 0 && dprintf(2, "<%d>\n", 7) == 4);
    for (int i = 0; i < 5; i++) {
        static const int lengths[] = {0, 5, 64, 65, 400};
        memset(text, 0, sizeof text), memset(text, 'x', lengths[i]);
        CHECK(printf(form, text, 'c', 42) == lengths[i] + 6);
    }
    return 0;
}

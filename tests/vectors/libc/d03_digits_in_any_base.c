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
    for (int i = 0; i < 300; i++) {
        int value = (int)(chance() ^ chance() << 16), base = 2 + i % 35;
        CHECK(itoa(value, room, base) == room);
        CHECK(strtoll(room, NULL, base) == (base == 10 ? value : (long long)(unsigned)value));
        CHECK(strspn(room, "-0123456789abcdefghijklmnopqrstuvwxyz") == strlen(room));
        CHECK(ltoa(value, want, base) == want && strcmp(room, want) == 0);
        CHECK(utoa((unsigned)value, want, base) == want && strtoll(want, NULL, base) == (unsigned)value);
    }
    return 0;
}
